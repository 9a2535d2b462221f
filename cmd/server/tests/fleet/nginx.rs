//! SIGTERM behind a balancer that asks no node whether it is ready.

use crate::{
    drains::{behind_nginx, leaves_in_turn},
    stage::{ONE_LINK, alone},
};

#[tokio::test]
async fn a_node_leaves_behind_an_nginx_that_asks_nobody_and_nothing_is_lost() {
    let _machine = alone().await;
    leaves_in_turn(behind_nginx(2), ONE_LINK, 1).await;
}
