//! What a [`Network`] does, against peers of plain threads on loopback.

use std::future::pending;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use io_uring::opcode;

use super::*;
use crate::testing::needs_ring;

fn options() -> SocketOptions {
    SocketOptions {
        buffers: 64,
        buffer_bytes: 4096,
        batch: 16,
        batch_for: Duration::from_millis(1),
        batch_for_max: Duration::from_millis(5),
        opcodes_allowed: None,
    }
}

fn run<T>(main: impl AsyncFnOnce(Network) -> T) -> T {
    run_with(options(), main)
}

fn run_with<T>(options: SocketOptions, main: impl AsyncFnOnce(Network) -> T) -> T {
    match Network::run(options, main).unwrap() {
        (Ended::Output(output), _) => output,
        (Ended::Refused(error), _) => panic!("{error}"),
    }
}

/// A peer for each of `count` connections, in the order in which they are accepted.
fn serve<T: Send + 'static>(
    count: usize,
    peer: impl Fn(TcpStream) -> T + Clone + Send + 'static,
) -> (SocketAddr, JoinHandle<Vec<T>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let peers: Vec<_> = (0..count)
            .map(|_| {
                let (stream, peer) = (listener.accept().unwrap().0, peer.clone());
                std::thread::spawn(move || peer(stream))
            })
            .collect();
        peers.into_iter().map(|peer| peer.join().unwrap()).collect()
    });
    (address, server)
}

fn echo(mut stream: TcpStream) {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes).unwrap() {
            0 => return,
            count => stream.write_all(&bytes[..count]).unwrap(),
        }
    }
}

fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Bytes of which no two stretches are alike.
fn bytes(count: u32) -> Vec<u8> {
    (0..count / 4).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

async fn write_all(stream: &mut Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = poll_fn(|context| stream.poll_write(context, bytes)).await?;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// At most `count` bytes; fewer where the stream ends before.
async fn read(stream: &mut Stream, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let sink = |piece: &[u8]| {
            let taken = piece.len().min(count - bytes.len());
            bytes.extend_from_slice(&piece[..taken]);
            taken
        };
        let mut sink = sink;
        if poll_fn(|context| stream.poll_read(context, &mut sink)).await? == 0 {
            break;
        }
    }
    Ok(bytes)
}

async fn shut_down(stream: &mut Stream) -> io::Result<()> {
    poll_fn(|context| stream.poll_shutdown(context)).await
}

#[test]
fn what_is_sent_comes_back() {
    needs_ring!();
    let (address, server) = serve(1, echo);
    let sent = bytes(1_000_000);
    let received = run(async |network: Network| {
        let mut stream = network.connect(address).await.unwrap();
        let mut received = Vec::new();
        for piece in sent.chunks(100_000) {
            write_all(&mut stream, piece).await.unwrap();
            received.extend(read(&mut stream, piece.len()).await.unwrap());
        }
        received
    });
    server.join().unwrap();
    assert!(received == sent);
}

#[test]
fn an_ipv6_address_is_connected_to() {
    needs_ring!();
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || echo(listener.accept().unwrap().0));
    let received = run(async move |network: Network| {
        let mut stream = network.connect(address).await.unwrap();
        write_all(&mut stream, b"six").await.unwrap();
        read(&mut stream, 3).await.unwrap()
    });
    server.join().unwrap();
    assert_eq!(received, b"six");
}

#[test]
fn a_refused_connection_is_an_error() {
    needs_ring!();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = run(async move |network: Network| network.connect(address).await.unwrap_err());
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn the_end_of_a_stream_is_told_again_and_again() {
    needs_ring!();
    let (address, _server) = serve(1, |mut stream| stream.write_all(b"all").unwrap());
    run(async move |network: Network| {
        let mut stream = network.connect(address).await.unwrap();
        assert_eq!(read(&mut stream, 10).await.unwrap(), b"all");
        assert_eq!(read(&mut stream, 10).await.unwrap(), b"");
    });
}

#[test]
fn a_shutdown_comes_after_all_that_was_written() {
    needs_ring!();
    let (address, server) = serve(1, read_all);
    let sent = bytes(300_000);
    run(async |network: Network| {
        let mut stream = network.connect(address).await.unwrap();
        write_all(&mut stream, &sent).await.unwrap();
        shut_down(&mut stream).await.unwrap();
        assert_eq!(read(&mut stream, 1).await.unwrap(), b"");
    });
    assert!(server.join().unwrap() == [sent]);
}

#[test]
fn a_broken_stream_is_an_error_for_who_reads_and_for_who_writes() {
    needs_ring!();
    let (address, server) = serve(1, |stream| {
        // Closed with bytes unread, a socket answers with a reset.
        let mut first = [0];
        (&stream).read_exact(&mut first).unwrap();
        drop(stream);
    });
    run(async move |network: Network| {
        let mut stream = network.connect(address).await.unwrap();
        write_all(&mut stream, &vec![7; 50_000]).await.unwrap();
        let error = read(&mut stream, 1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let error = loop {
            if let Err(error) = write_all(&mut stream, &vec![7; 50_000]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
    server.join().unwrap();
}

#[test]
fn many_streams_share_few_buffers() {
    const STREAMS: usize = 32;
    needs_ring!();
    let sent = bytes(400_000);
    let shared = sent.clone();
    let (address, server) = serve(STREAMS, move |mut stream| stream.write_all(&shared).unwrap());
    let options = SocketOptions { buffers: 4, buffer_bytes: 512, ..options() };
    let received = run_with(options, async move |network: Network| {
        let (deliver, delivered) = mpsc::channel();
        for _ in 0..STREAMS {
            let (network, deliver) = (network.clone(), deliver.clone());
            network.clone().spawn(async move {
                let mut stream = network.connect(address).await.unwrap();
                deliver.send(read(&mut stream, usize::MAX).await.unwrap()).unwrap();
            });
        }
        drop(deliver);
        let mut received = Vec::new();
        while received.len() < STREAMS {
            received.extend(delivered.try_iter());
            network.sleep_until(Instant::now() + Duration::from_millis(1)).await;
        }
        received
    });
    server.join().unwrap();
    assert!(received.iter().all(|bytes| *bytes == sent));
}

#[test]
fn who_does_not_read_holds_up_nobody_and_loses_nothing() {
    needs_ring!();
    let sent = bytes(4_000_000);
    let shared = sent.clone();
    let (address, server) = serve(2, move |mut stream| stream.write_all(&shared).unwrap());
    let options = SocketOptions { buffers: 8, ..options() };
    let (first, second) = run_with(options, async move |network: Network| {
        let mut lazy = network.connect(address).await.unwrap();
        let first = read(&mut lazy, 1).await.unwrap();
        let mut eager = network.connect(address).await.unwrap();
        let second = read(&mut eager, usize::MAX).await.unwrap();
        ([first, read(&mut lazy, usize::MAX).await.unwrap()].concat(), second)
    });
    server.join().unwrap();
    assert!(first == sent && second == sent);
}

#[test]
fn a_dropped_stream_is_closed_and_its_receive_cancelled() {
    needs_ring!();
    let (address, server) = serve(1, read_all);
    let received = run(async move |network: Network| {
        let mut stream = network.connect(address).await.unwrap();
        write_all(&mut stream, b"last words").await.unwrap();
        let waited = network.timeout(Duration::from_millis(1), read(&mut stream, 1)).await;
        assert!(waited.is_none());
        drop(stream);
        while !server.is_finished() {
            network.sleep_until(Instant::now() + Duration::from_millis(1)).await;
        }
        server.join().unwrap()
    });
    assert_eq!(received, [b"last words"]);
}

#[test]
fn what_is_in_flight_at_the_end_is_cancelled() {
    needs_ring!();
    let (address, server) = serve(20, read_all);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap();
    run(async move |network: Network| {
        let mut streams = Vec::new();
        for _ in 0..20 {
            let (mut stream, silent) = (network.connect(address).await.unwrap(), network.clone());
            network.spawn(async move {
                let _unanswered = silent.connect(silent_address).await;
                pending::<()>().await;
            });
            write_all(&mut stream, &[1; 1000]).await.unwrap();
            streams.push(stream);
        }
        for mut stream in streams {
            network.spawn(async move {
                let _ = read(&mut stream, 1).await;
            });
        }
        network.sleep_until(Instant::now() + Duration::from_millis(2)).await;
    });
    let lengths: Vec<_> = server.join().unwrap().iter().map(Vec::len).collect();
    assert_eq!(lengths, [1000; 20]);
}

#[test]
fn timers_end_in_the_order_of_their_time() {
    struct Note(u64, mpsc::Sender<u64>);
    impl std::task::Wake for Note {
        fn wake(self: Arc<Self>) {
            self.1.send(self.0).unwrap();
        }
    }
    let (note, noted) = mpsc::channel();
    let start = Instant::now();
    let after = |milliseconds| start + Duration::from_millis(milliseconds);
    let mut timers = Timers::default();
    for number in [3, 1, 9, 2, 1] {
        timers.set(after(number), Arc::new(Note(number, note.clone())).into());
    }
    timers.wake_expired(after(0));
    assert!(noted.try_recv().is_err());
    timers.wake_expired(after(3));
    assert_eq!(noted.try_iter().collect::<Vec<_>>(), [1, 1, 2, 3]);
    assert_eq!(timers.wakers.len(), 1);
}

#[test]
fn a_sleep_lasts_until_its_deadline() {
    needs_ring!();
    run(async |network: Network| {
        let deadline = Instant::now() + Duration::from_millis(3);
        network.sleep_until(deadline).await;
        assert!(Instant::now() >= deadline);
    });
}

#[test]
fn a_timer_that_is_dropped_is_forgotten() {
    needs_ring!();
    run(async move |network: Network| {
        let long = Duration::from_secs(3600);
        assert_eq!(network.timeout(long, async { 7 }).await, Some(7));
        let short = Duration::from_millis(1);
        assert_eq!(network.timeout(short, network.timeout(long, pending::<()>())).await, None);
        assert!(network.inner.timers.borrow().wakers.is_empty());
        assert_eq!(network.timeout(Duration::MAX, async { 8 }).await, Some(8));
    });
}

#[test]
fn another_thread_wakes_a_network_that_waits() {
    needs_ring!();
    let (sender, receiver) = mpsc::channel::<Waker>();
    let is_done = Arc::new(AtomicBool::new(false));
    let seen = is_done.clone();
    let other = std::thread::spawn(move || {
        let waker = receiver.recv().unwrap();
        is_done.store(true, Ordering::SeqCst);
        waker.wake();
    });
    run(async move |_| {
        poll_fn(|context| {
            if seen.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            let _ = sender.send(context.waker().clone());
            Poll::Pending
        })
        .await;
    });
    other.join().unwrap();
}

#[test]
fn a_refused_opcode_ends_the_run_with_the_reason() {
    needs_ring!();
    for refused in [opcode::Connect::CODE, opcode::Send::CODE, opcode::RecvMulti::CODE] {
        let allowed = (0..60).filter(|code| *code != refused).collect();
        let options = SocketOptions { opcodes_allowed: Some(allowed), ..options() };
        let (address, server) = serve(1, |stream| stream.shutdown(Shutdown::Write));
        let (ended, _) = Network::run(options, async move |network: Network| {
            let mut stream = network.connect(address).await.unwrap();
            write_all(&mut stream, b"x").await.unwrap();
            read(&mut stream, 1).await.unwrap();
            pending::<()>().await;
        })
        .unwrap();
        let Ended::Refused(error) = ended else { panic!("{refused} was carried out") };
        assert_eq!(error.raw_os_error(), Some(libc::EACCES), "{refused}");
        if refused == opcode::Connect::CODE {
            TcpStream::connect(address).unwrap();
        }
        let _ = server.join().unwrap();
    }
}

#[test]
fn many_answers_are_waited_for_in_one_call() {
    const STREAMS: usize = 64;
    needs_ring!();
    let (address, server) = serve(STREAMS, echo);
    let (ended, counts) = Network::run(options(), async move |network: Network| {
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            streams.push(network.connect(address).await.unwrap());
        }
        for _ in 0..10 {
            for stream in &mut streams {
                write_all(stream, b"question").await.unwrap();
            }
            for stream in &mut streams {
                assert_eq!(read(stream, 8).await.unwrap(), b"question");
            }
        }
    })
    .unwrap();
    server.join().unwrap();
    assert!(matches!(ended, Ended::Output(())));
    // A send and a receive for each question, and what connects, receives and cancels once.
    assert!(counts.completions >= 2 * 10 * STREAMS as u64, "{counts:?}");
    assert!(counts.batch_max >= STREAMS as u64, "{counts:?}");
}
