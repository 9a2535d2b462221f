//! What the link's task does with each frame of the agent: count it, then carry
//! it.

use std::sync::Arc;

use messages::{Frame, HEADER_LEN, Notice, Tag};
use tokio::time::Instant;
use tunnel::{FrameHandler, LinkFault};

use crate::{
    link::Link,
    throttle::{Pace, Throttle},
};

/// The handler of one link.
#[derive(Debug)]
pub(crate) struct Traffic {
    link: Arc<Link>,
    throttle: Throttle,
    began: Instant,
}

impl Traffic {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self {
            throttle: link.bounds.throttle(),
            link,
            began: Instant::now(),
        }
    }

    /// Withholds credit from an agent over its rate. Reading goes on whatever it
    /// does: its pings and resets must be heard.
    fn pace(&mut self, bytes: usize) -> Result<(), LinkFault> {
        let began = self.began;
        match self.throttle.received(bytes, || began.elapsed()) {
            Pace::Free => {}
            Pace::Hold(pause) => self.link.hold(pause),
            Pace::Flood => {
                let flood = "far more messages than credit was granted for";
                return Err(LinkFault::Protocol(flood.to_owned()));
            }
        }
        Ok(())
    }
}

impl FrameHandler for Traffic {
    fn on_frame(&mut self, frame: Frame) -> Result<(), LinkFault> {
        let taken = self.pace(HEADER_LEN + frame.payload.len()).and_then(|()| {
            let carried = self.link.to_edge(frame);
            carried.map_err(|fault| LinkFault::Protocol(fault.to_string()))
        });
        // Visitors need not wait for the goodbye that follows a fault.
        taken.inspect_err(|_| self.link.cut())
    }

    fn on_skipped(&mut self, tag: u8) {
        // Its length is not known here; a message it is. A flood of them is
        // called one at the next frame that is not skipped.
        let _flood = self.pace(HEADER_LEN);
        tracing::debug!(tunnel = %self.link.tunnel, tag, "skipped a frame of an unknown kind");
    }

    fn on_notice(&mut self, _: &Notice) -> Result<(), LinkFault> {
        Err(LinkFault::Unexpected(Tag::Notice))
    }
}
