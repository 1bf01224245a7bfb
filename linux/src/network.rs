//! Tasks, timers and streams of one thread, all waited for in one call.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use crate::executor::Tasks;
use crate::ring::Counts;
use crate::sockets::{SocketOptions, Sockets};

/// What runs on the ring of the thread that is in [`Network::run`]. Clones are the same.
#[derive(Clone)]
pub struct Network {
    inner: Rc<Inner>,
}

struct Inner {
    sockets: RefCell<Sockets>,
    tasks: Tasks,
    timers: RefCell<Timers>,
}

#[derive(Default)]
struct Timers {
    wakers: BTreeMap<(Instant, u64), Waker>,
    set_count: u64,
}

/// How a run ended that did not fail.
#[derive(Debug)]
pub enum Ended<T> {
    Output(T),
    /// The kernel or a sandbox does not carry out an opcode; whatever was under way is given up.
    Refused(io::Error),
}

/// A TCP stream. Dropped, it is closed, and what is in flight for it is cancelled.
pub struct Stream {
    inner: Rc<Inner>,
    key: usize,
}

/// Ends when its time has come.
#[must_use = "a future does nothing unless it is polled"]
pub struct Sleep {
    inner: Rc<Inner>,
    deadline: Instant,
    timer: Option<u64>,
}

/// Tasks wake each other so often before the kernel is asked what has come meanwhile.
const ROUNDS_MAX: usize = 64;

impl Network {
    /// Runs a future, and what it spawns, on a ring of the calling thread. What was spawned and is
    /// not done by the end is dropped.
    ///
    /// An error is the ring's own: it could not be made, or failed as a whole.
    pub fn run<T>(
        options: SocketOptions,
        main: impl AsyncFnOnce(Self) -> T,
    ) -> io::Result<(Ended<T>, Counts)> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC)?;
        let inner = Rc::new(Inner {
            sockets: RefCell::new(Sockets::new(options)?),
            tasks: Tasks::new(bell),
            timers: RefCell::default(),
        });
        let ended = inner.run(main(Self { inner: inner.clone() }));
        inner.tasks.clear();
        let mut sockets = inner.sockets.borrow_mut();
        let drained = sockets.drain();
        let counts = sockets.take_counts();
        ended.and_then(|ended| drained.map(|()| (ended, counts)))
    }

    /// Starts a task that no one waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.inner.tasks.spawn(task);
    }

    /// Says whether what is received is waited for. Where it is not, the thread sleeps longer and
    /// receives more at once; at first it is.
    pub fn set_hurry(&self, has_hurry: bool) {
        self.inner.sockets.borrow_mut().set_hurry(has_hurry);
    }

    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep { inner: self.inner.clone(), deadline, timer: None }
    }

    /// The future's output; `None` where it is not done in time.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        // A limit too far away to be a point in time is none.
        let Some(deadline) = Instant::now().checked_add(limit) else { return Some(future.await) };
        let mut sleep = self.sleep_until(deadline);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            Pin::new(&mut sleep).poll(context).map(|()| None)
        })
        .await
    }

    pub async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        let key = self.inner.sockets.borrow_mut().connect(address)?;
        let stream = Stream { inner: self.inner.clone(), key };
        poll_fn(|context| stream.inner.sockets.borrow_mut().poll_connected(key, context)).await?;
        Ok(stream)
    }
}

impl Inner {
    fn run<F: Future>(&self, main: F) -> io::Result<Ended<F::Output>> {
        let mut main = pin!(main);
        let main_waker = self.tasks.main_waker();
        loop {
            for _ in 0..ROUNDS_MAX {
                let woken = self.tasks.take_woken();
                if woken.is_empty() {
                    break;
                }
                if woken.has_main {
                    let polled = main.as_mut().poll(&mut Context::from_waker(&main_waker));
                    if let Poll::Ready(output) = polled {
                        return Ok(Ended::Output(output));
                    }
                }
                self.tasks.poll(&woken);
            }
            self.turn()?;
            if let Some(error) = self.sockets.borrow_mut().take_refusal() {
                return Ok(Ended::Refused(error));
            }
        }
    }

    /// Lets the kernel go on, and waits for it where there is nothing else to do.
    fn turn(&self) -> io::Result<()> {
        let mut sockets = self.sockets.borrow_mut();
        let alarm = self.tasks.alarm();
        sockets.await_bell(alarm.bell())?;
        let limit = self.timers.borrow_mut().time_left();
        if alarm.arm() {
            let waited = sockets.wait(limit);
            alarm.disarm();
            waited?;
        } else {
            sockets.submit()?;
        }
        drop(sockets);
        self.timers.borrow_mut().wake_expired(Instant::now());
        Ok(())
    }
}

impl Timers {
    fn set(&mut self, deadline: Instant, waker: Waker) -> u64 {
        let number = self.set_count;
        self.set_count += 1;
        self.wakers.insert((deadline, number), waker);
        number
    }

    fn time_left(&self) -> Option<Duration> {
        let ((deadline, _), _) = self.wakers.first_key_value()?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Wakes those whose time has come, the earliest first.
    fn wake_expired(&mut self, now: Instant) {
        while let Some(first) = self.wakers.first_entry().filter(|first| first.key().0 <= now) {
            first.remove().wake();
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        let mut timers = self.inner.timers.borrow_mut();
        let waker = context.waker().clone();
        let timer = match self.timer {
            Some(number) => {
                timers.wakers.insert((self.deadline, number), waker);
                number
            }
            None => timers.set(self.deadline, waker),
        };
        drop(timers);
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.timer {
            self.inner.timers.borrow_mut().wakers.remove(&(self.deadline, number));
        }
    }
}

impl Stream {
    /// Hands what has been received to `sink`, which says how much it took and takes at least
    /// something. 0 is the end of the stream.
    pub fn poll_read(
        &mut self,
        context: &Context<'_>,
        sink: impl FnMut(&[u8]) -> usize,
    ) -> Poll<io::Result<usize>> {
        self.inner.sockets.borrow_mut().poll_read(self.key, context, sink)
    }

    /// Takes bytes to send, as many as there is room for; they are on their way with the next
    /// turn. A failure is that of earlier bytes.
    pub fn poll_write(&mut self, context: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.inner.sockets.borrow_mut().poll_write(self.key, context, bytes)
    }

    /// Waits until all is sent, then says so to the peer.
    pub fn poll_shutdown(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        self.inner.sockets.borrow_mut().poll_shutdown(self.key, context)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.inner.sockets.borrow_mut().abandon(self.key);
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Network").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Stream").field("key", &self.key).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Sleep {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
