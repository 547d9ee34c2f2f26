//! Free ports on the loopback address.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// The ports to choose from lie below those that systems hand out to clients (from 32768 on Linux, 49152 on
/// macOS). A client that keeps reconnecting to a killed server could otherwise be handed that server's own
/// port as its local one, connect to itself, and keep the server from coming back.
const LOWEST: u16 = 20_000;
const SPAN: u32 = 12_000;

/// How many ports are tried before the system may choose one.
const TRIES: u32 = 200;

/// A port that nobody listens on now. Somebody may the next moment, so the caller tries again then.
pub(super) fn free_port() -> io::Result<u16> {
    // The system's own choice is a fair die: two processes that start at once get different ones.
    let die = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    Ok((0..TRIES)
        .map(|step| candidate(die, step))
        .find(is_free)
        .unwrap_or(die))
}

/// The port to try at a step: the die spread over the range, then on in strides that share no divisor with it.
fn candidate(die: u16, step: u32) -> u16 {
    let offset = (u32::from(die) * 7_919 + step * 101) % SPAN;
    LOWEST + u16::try_from(offset).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn candidates_differ_and_stay_below_the_ports_of_clients() {
        for die in [0, 1, 40_000, u16::MAX] {
            let ports: HashSet<u16> = (0..TRIES).map(|step| candidate(die, step)).collect();
            assert_eq!(ports.len() as u32, TRIES);
            assert!(ports.iter().all(|port| (LOWEST..32_000).contains(port)));
        }
    }

    #[test]
    fn a_taken_port_is_not_answered() {
        let port = free_port().unwrap();
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_ne!(free_port().unwrap(), port);
    }
}
