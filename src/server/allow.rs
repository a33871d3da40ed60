//! Who may connect, by the service's allow-list. Always: whoever a new list excludes is disconnected, by whichever way they
//! came; an operator, known by certificate, is not.

use std::net::IpAddr;

use super::Server;

impl Server {
    /// Whether someone from there may connect.
    pub fn lets_in(&self, addr: IpAddr) -> bool {
        self.live.allow.load().holds(addr)
    }

    /// Disconnects clients that the allow-list does not hold any more, those whom this node relays too.
    pub fn cut_off(&self) {
        let allow = self.live.allow.load();
        for client in self.clients.list() {
            if !client.operator && !allow.holds_client(&client.addr) {
                client.kill();
            }
        }
    }
}
