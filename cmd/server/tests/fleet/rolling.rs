//! All nodes of a fleet replaced, one after the other, while it is in use.

use crate::{
    drains::{behind_haproxy, behind_nginx, leaves_in_turn},
    stage::alone,
};

#[tokio::test]
async fn a_rolling_restart_of_three_nodes_under_load_loses_nothing_behind_either_balancer() {
    let _machine = alone().await;
    for fleet in [behind_haproxy(3), behind_nginx(3)] {
        leaves_in_turn(fleet, &["-q"], 2).await;
    }
}
