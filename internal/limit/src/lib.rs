//! How often something may be done, and how much may be held at a time, by each of many; and whom an address stands for.
//!
//! A leaf. What is limited, and what whoever exceeds it is told, is the business of those who count: visitors of the edge,
//! agents of the uplink, whoever tries passwords, visitors of a Bare server.

mod crowd;
mod meter;
mod places;

pub use crowd::Crowd;
pub use governor::Quota;
pub use meter::Meter;
pub use places::{Place, Places};
