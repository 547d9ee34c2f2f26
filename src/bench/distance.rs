//! A line that is longer than the loopback: what goes through it arrives later by half a round trip each way.
//!
//! Threads, since the runtime's clock ticks in whole milliseconds.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::BenchError;

/// What one read takes from a socket.
const PIECE: usize = 64 * 1024;
/// Pieces on their way; the sender waits when there are more.
const ON_THE_WAY: usize = 1_024;

/// Opens such a line to the server of an address; answers the address by that line. It stays until the process ends.
pub fn lengthen(address: &str, round_trip: Duration) -> Result<String, BenchError> {
    let line = |what: String| BenchError::Line(what);
    let mut url: url::Url = address
        .parse()
        .map_err(|error| line(format!("read the address: {error}")))?;
    let default = if url.scheme().starts_with("postgres") {
        5432
    } else {
        6379
    };
    let host = url.host_str().unwrap_or("127.0.0.1").to_owned();
    let target = (host.as_str(), url.port().unwrap_or(default))
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| line(format!("find {host}")))?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| line(format!("open a line: {error}")))?;
    let here = listener
        .local_addr()
        .map_err(|error| line(format!("open a line: {error}")))?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that cannot be served sees its connection closed.
            let _served = connect(client, target, round_trip / 2);
        }
    });
    let renamed = url.set_host(Some("127.0.0.1")).is_ok() && url.set_port(Some(here.port())).is_ok();
    if renamed {
        Ok(url.to_string())
    } else {
        Err(line("lead an address without a host elsewhere".to_owned()))
    }
}

fn connect(client: TcpStream, target: SocketAddr, delay: Duration) -> std::io::Result<()> {
    let server = TcpStream::connect(target)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    carry(client.try_clone()?, server.try_clone()?, delay);
    carry(server, client, delay);
    Ok(())
}

/// Carries one direction: one thread reads and notes when, the other writes when it is time.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, pieces) = mpsc::sync_channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    thread::spawn(move || {
        let mut buffer = vec![0; PIECE];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let piece = buffer[..count].to_vec();
            if sender.send((Instant::now() + delay, piece)).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, piece) in pieces {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        // The other side may have closed it before.
        let _closed = to.shutdown(Shutdown::Both);
    });
}
