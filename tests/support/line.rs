//! A line to a server that the test can cut, silence, and lead elsewhere.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the line does with those who use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    /// Where it leads.
    target: SocketAddr,
    /// Nobody gets through, and who was through is cut off.
    cut: bool,
    /// Connections older than this say nothing any more, and are not closed either.
    silenced: u64,
    /// What is sent waits so long on its way, in both directions.
    delay: Duration,
}

/// A line; it ends with the test.
pub struct Line {
    address: SocketAddr,
    target: String,
    state: watch::Sender<State>,
    _accepting: JoinSet<()>,
}

impl Line {
    /// A line to the server of this address, which names it by its IP and port.
    pub async fn to(url: &str) -> Self {
        let target = authority(url);
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = watch::Sender::new(State {
            target: target.parse().expect("an IP and a port"),
            cut: false,
            silenced: 0,
            delay: Duration::ZERO,
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, state.clone()));
        Self {
            address,
            target,
            state,
            _accepting: accepting,
        }
    }

    /// The same address, by this line.
    pub fn through(&self, url: &str) -> String {
        url.replace(&self.target, &self.address.to_string())
    }

    /// Cuts everybody off.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cut = true);
    }

    /// Lets everybody through again.
    pub fn mend(&self) {
        self.state.send_modify(|state| state.cut = false);
    }

    /// Those who are connected now hear nothing any more; who connects anew gets through.
    pub fn silence(&self) {
        self.state.send_modify(|state| state.silenced += 1);
    }

    /// Lets everything that is sent from now on wait so long on its way.
    pub fn slow_down(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }

    /// Leads to another server from now on.
    pub fn lead_to(&self, url: &str) {
        let target = authority(url).parse().expect("an IP and a port");
        self.state.send_modify(|state| state.target = target);
    }
}

/// The IP and port in an address.
pub fn authority(url: &str) -> String {
    let url: url::Url = url.parse().expect("an address");
    let (host, port) = (url.host_str().expect("a host"), url.port().expect("a port"));
    format!("{host}:{port}")
}

async fn accept(listener: TcpListener, state: watch::Sender<State>) {
    let mut passing = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        passing.spawn(pass(client, state.subscribe()));
        // Those that ended are let go of.
        while passing.try_join_next().is_some() {}
    }
}

async fn pass(mut client: TcpStream, mut state: watch::Receiver<State>) {
    let now = *state.borrow_and_update();
    if now.cut {
        return;
    }
    let Ok(mut server) = TcpStream::connect(now.target).await else {
        return;
    };
    let delay = state.clone();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let carried = async {
        // Whichever direction ends first ends both, as a closed connection does.
        tokio::select! {
            () = carry(from_client, to_server, delay.clone()) => {}
            () = carry(from_server, to_client, delay.clone()) => {}
        }
    };
    let silent = tokio::select! {
        () = carried => false,
        silent = disturbed(&mut state, now.silenced) => silent,
    };
    if silent {
        // Held open, and nothing is passed on.
        std::future::pending::<()>().await;
    }
}

/// Carries what comes, each piece after the delay of its time.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: watch::Receiver<State>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let delay = state.borrow().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// Waits until the line is cut (false) or falls silent (true) for a connection of this age.
async fn disturbed(state: &mut watch::Receiver<State>, born: u64) -> bool {
    let over = |state: &State| state.cut || state.silenced > born;
    match state.wait_for(over).await {
        Ok(state) => state.silenced > born,
        Err(_gone) => false,
    }
}
