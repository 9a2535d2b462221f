//! A private cluster of three masters.

use crate::server::{Server, free_port};

pub(crate) struct Masters(Vec<Server>);

impl Masters {
    pub(crate) async fn start() -> Self {
        let mut masters = Vec::new();
        let mut bus_ports = Vec::new();
        for _ in 0..3 {
            let bus_port = free_port().to_string();
            let arguments = ["--cluster-enabled", "yes", "--cluster-port", &bus_port];
            masters.push(Server::start(&arguments).await);
            bus_ports.push(bus_port);
        }
        let ranges = ["0 5460", "5461 10922", "10923 16383"];
        for (master, range) in masters.iter().zip(ranges) {
            let added = master.run(&format!("CLUSTER ADDSLOTSRANGE {range}")).await;
            assert_eq!(added, "+OK\r\n");
            let (port, bus_port) = (masters[0].port, &bus_ports[0]);
            master
                .run(&format!("CLUSTER MEET 127.0.0.1 {port} {bus_port}"))
                .await;
        }
        for master in &masters {
            let agreed = async || {
                let info = master.run("CLUSTER INFO").await;
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            };
            assert!(crate::server::eventually(agreed).await, "the masters agree");
        }
        Self(masters)
    }

    /// Names two of the three.
    pub(crate) fn url(&self) -> String {
        format!(
            "redis+cluster://127.0.0.1:{},127.0.0.1:{}",
            self.0[1].port, self.0[2].port
        )
    }

    /// Gives the slot of a name to the next master, without the keys in it.
    pub(crate) async fn move_slot_of(&self, name: &str, keys: &[&str]) {
        let slot = self.0[0].run(&format!("CLUSTER KEYSLOT {name}")).await;
        let slot: usize = slot
            .trim_matches([':', '\r', '\n'])
            .parse()
            .expect("it is a number");
        let owner = slot.saturating_sub(1) / 5461;
        let (from, to) = (&self.0[owner], &self.0[(owner + 1) % 3]);
        let id = to.run("CLUSTER MYID").await;
        let id = id.lines().nth(1).expect("it has a name").to_owned();
        for key in keys {
            from.run(&format!("DEL {key}")).await;
        }
        for master in [to, from] {
            let moved = master
                .run(&format!("CLUSTER SETSLOT {slot} NODE {id}"))
                .await;
            assert_eq!(moved, "+OK\r\n");
        }
    }
}
