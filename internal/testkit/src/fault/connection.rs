//! One connection through the proxy: two streams, two ways, one end.

use std::sync::Arc;

use tokio::net::TcpStream;

use super::{
    switches::{Entered, Switches, Way},
    way::{Broken, Lane},
};

/// Carries both ways until both have ended, or either breaks: then both sides are reset.
pub(super) async fn carry(near: TcpStream, entered: Entered, switches: Arc<Switches>) {
    let mut near = near;
    let mut far = None;
    let mut watch = entered.watch.clone();
    let cuts = watch.borrow().cuts;
    let end = tokio::select! {
        _ = watch.wait_for(|state| state.cuts > cuts) => Err(Broken),
        end = both_ways(&mut near, &mut far, &entered, &switches) => end,
    };
    if end.is_err() {
        for tcp in far.iter().chain([&near]) {
            // It fails when that side is gone already.
            tcp.set_zero_linger().ok();
        }
    }
}

async fn both_ways(
    near: &mut TcpStream,
    far: &mut Option<TcpStream>,
    entered: &Entered,
    switches: &Arc<Switches>,
) -> Result<(), Broken> {
    let there = Lane::new(Way::There, switches, entered);
    let back = Lane::new(Way::Back, switches, entered);
    there.until_flowing().await;
    let far = far.insert(switches.dial().await.map_err(|_| Broken)?);
    for tcp in [&*near, &*far] {
        tcp.set_nodelay(true).map_err(|_| Broken)?;
    }
    let (near_reads, near_writes) = near.split();
    let (far_reads, far_writes) = far.split();
    tokio::try_join!(
        there.carry(near_reads, far_writes),
        back.carry(far_reads, near_writes),
    )?;
    Ok(())
}
