//! A line to a server on which every command arrives, and the reply to one chosen command does not.
//!
//! It knows where requests and replies begin and end, gives each pair a name, and counts them in a book. Connections
//! that ask for nothing (a subscription that hears what others publish) are passed on as they are.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::line::authority;

/// How long a client waits on such a line until it gives an answer up.
pub const GIVES_UP_AFTER: Duration = Duration::from_millis(2_000);
/// A late reply comes when nobody waits for it any more.
const LATE: Duration = Duration::from_millis(2_600);

/// What one connection says, cut into pieces.
pub trait Frames: Send {
    /// The length of the first whole request, and the name of the step that asks for its reply with it.
    fn request(&mut self, buffer: &[u8]) -> Option<(usize, Option<String>)>;
    /// The length of the first whole piece of a reply, and whether the reply ends with it.
    fn reply(&mut self, buffer: &[u8]) -> Option<(usize, bool)>;
}

/// Frames whose steps are told apart from others' by a word.
pub struct Named<F>(pub &'static str, pub F);

impl<F: Frames> Frames for Named<F> {
    fn request(&mut self, buffer: &[u8]) -> Option<(usize, Option<String>)> {
        let (length, step) = self.1.request(buffer)?;
        Some((length, step.map(|step| format!("{}: {step}", self.0))))
    }

    fn reply(&mut self, buffer: &[u8]) -> Option<(usize, bool)> {
        self.1.reply(buffer)
    }
}

/// How a reply is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Loss {
    /// The connection is closed in its place.
    Cut,
    /// Neither it nor any later one arrives, and the connection stays open.
    Drop,
    /// It arrives when its client has given up.
    Delay,
}

/// A request and its reply, by name and by how many of that name there were until now, itself included.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Step {
    pub name: String,
    pub nth: usize,
}

/// All steps on the lines of one test, and the one whose reply is lost.
#[derive(Clone)]
pub struct Book(Arc<Mutex<Pages>>);

struct Pages {
    counts: HashMap<String, usize>,
    steps: Vec<Step>,
    fault: Option<(Step, Loss)>,
    hit: bool,
}

impl Book {
    /// An empty book; the reply of one step may be chosen to be lost.
    pub fn new(fault: Option<(Step, Loss)>) -> Self {
        Self(Arc::new(Mutex::new(Pages {
            counts: HashMap::new(),
            steps: Vec::new(),
            fault,
            hit: false,
        })))
    }

    fn note(&self, name: &str) -> Option<Loss> {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = pages.counts.entry(name.to_owned()).or_default();
        *count += 1;
        let step = Step {
            name: name.to_owned(),
            nth: *count,
        };
        pages.steps.push(step.clone());
        let loss = pages
            .fault
            .as_ref()
            .filter(|(chosen, _)| *chosen == step)
            .map(|(_, loss)| *loss);
        pages.hit |= loss.is_some();
        loss
    }

    /// The steps until now, in their order.
    pub fn steps(&self) -> Vec<Step> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .steps
            .clone()
    }

    /// Whether the chosen step has come.
    pub fn was_hit(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).hit
    }
}

/// A line; it ends with the test.
pub struct Lossy {
    address: SocketAddr,
    target: String,
    _accepting: JoinSet<()>,
}

impl Lossy {
    /// A line to the server of this address, which names it by its IP and port.
    pub async fn to<F: Frames + 'static>(
        url: &str,
        book: Book,
        frames: impl Fn() -> F + Send + 'static,
    ) -> Self {
        let target = authority(url);
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target.clone(), book, frames));
        Self {
            address,
            target,
            _accepting: accepting,
        }
    }

    /// The same address, by this line.
    pub fn through(&self, url: &str) -> String {
        url.replace(&self.target, &self.address.to_string())
    }
}

async fn accept<F: Frames + 'static>(
    listener: TcpListener,
    target: String,
    book: Book,
    frames: impl Fn() -> F + Send + 'static,
) {
    let mut passing = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (target, book, frames) = (target.clone(), book.clone(), frames());
        passing.spawn(async move {
            if let Ok(server) = TcpStream::connect(target).await {
                // However it ends, both ends are closed.
                let _ended = pass(client, server, frames, book).await;
            }
        });
        while passing.try_join_next().is_some() {}
    }
}

/// The replies of one connection on their way back.
struct Replies {
    /// The steps that wait for theirs, with what becomes of it.
    waiting: VecDeque<Option<Loss>>,
    silent: bool,
    /// What is late, and until when.
    late: Option<(Instant, Vec<u8>)>,
}

async fn pass(
    client: TcpStream,
    server: TcpStream,
    mut frames: impl Frames,
    book: Book,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    let mut replies = Replies {
        waiting: VecDeque::new(),
        silent: false,
        late: None,
    };
    loop {
        let late = replies.late.as_ref().map(|(until, _)| *until);
        tokio::select! {
            read = from_client.read_buf(&mut asked) => {
                if read? == 0 {
                    return Ok(());
                }
                while let Some((length, step)) = frames.request(&asked) {
                    if let Some(name) = step {
                        replies.waiting.push_back(book.note(&name));
                    }
                    to_server.write_all(&asked[..length]).await?;
                    asked.drain(..length);
                }
            }
            read = from_server.read_buf(&mut answered) => {
                if read? == 0 {
                    return Ok(());
                }
                while let Some((length, ends)) = frames.reply(&answered) {
                    let piece: Vec<u8> = answered.drain(..length).collect();
                    if replies.pass(&piece, ends, &mut to_client).await?.is_break() {
                        return Ok(());
                    }
                }
            }
            () = tokio::time::sleep_until(late.unwrap_or_else(Instant::now)), if late.is_some() => {
                let (_, held) = replies.late.take().unwrap_or_else(|| (Instant::now(), Vec::new()));
                to_client.write_all(&held).await?;
            }
        }
    }
}

impl Replies {
    async fn pass(
        &mut self,
        piece: &[u8],
        ends: bool,
        client: &mut OwnedWriteHalf,
    ) -> std::io::Result<std::ops::ControlFlow<()>> {
        let loss = self.waiting.front().copied().flatten();
        if ends {
            self.waiting.pop_front();
        }
        match loss {
            // Only when the reply is whole has the server done all of it.
            Some(Loss::Cut) if ends => return Ok(std::ops::ControlFlow::Break(())),
            Some(Loss::Drop) if ends => self.silent = true,
            Some(Loss::Cut | Loss::Drop) => {}
            Some(Loss::Delay) => {
                let late = self
                    .late
                    .get_or_insert_with(|| (Instant::now() + LATE, Vec::new()));
                late.1.extend_from_slice(piece);
            }
            None if self.silent => {}
            None => match &mut self.late {
                Some((_, held)) => held.extend_from_slice(piece),
                None => client.write_all(piece).await?,
            },
        }
        Ok(std::ops::ControlFlow::Continue(()))
    }
}
