//! Tasks of one thread: which there are, which are to be polled, and how other threads wake them.

use std::cell::RefCell;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The tasks of a thread, beside a main one that is the caller's to poll.
pub(crate) struct Tasks {
    slab: RefCell<Slab<Slot>>,
    main: Arc<TaskWaker>,
    alarm: Arc<Alarm>,
}

struct Slot {
    /// `None` while it is polled.
    task: Option<Task>,
    waker: Arc<TaskWaker>,
}

/// What wakers of all threads ring.
pub(crate) struct Alarm {
    woken: Mutex<Woken>,
    /// An eventfd that the thread waits for, with all else.
    bell: OwnedFd,
}

#[derive(Default)]
struct Woken {
    tasks: Vec<usize>,
    /// Whether the thread waits and has to be told.
    is_waited_for: bool,
}

/// What is to be polled, each once.
pub(crate) struct ToPoll {
    pub has_main: bool,
    tasks: Vec<usize>,
}

impl ToPoll {
    pub fn is_empty(&self) -> bool {
        !self.has_main && self.tasks.is_empty()
    }
}

/// The number of the main task.
const MAIN: usize = usize::MAX;

struct TaskWaker {
    id: usize,
    is_woken: AtomicBool,
    alarm: Arc<Alarm>,
}

impl Tasks {
    pub fn new(bell: OwnedFd) -> Self {
        let alarm = Arc::new(Alarm { woken: Mutex::default(), bell });
        let main = Arc::new(TaskWaker::new(MAIN, &alarm));
        main.wake_by_ref();
        Self { slab: RefCell::default(), main, alarm }
    }

    pub fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    pub fn main_waker(&self) -> Waker {
        self.main.clone().into()
    }

    /// Adds a task, which is to be polled at once.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut slab = self.slab.borrow_mut();
        let entry = slab.vacant_entry();
        let waker = Arc::new(TaskWaker::new(entry.key(), &self.alarm));
        entry.insert(Slot { task: Some(Box::pin(task)), waker: waker.clone() });
        drop(slab);
        waker.wake();
    }

    /// Which have been woken. A task that is woken from now on has its turn the next time.
    pub fn take_woken(&self) -> ToPoll {
        let mut tasks = self.alarm.take_woken();
        let woken = tasks.len();
        tasks.retain(|id| *id != MAIN);
        let has_main = tasks.len() < woken;
        if has_main {
            self.main.is_woken.store(false, Ordering::Release);
        }
        ToPoll { has_main, tasks }
    }

    pub fn poll(&self, woken: &ToPoll) {
        for id in woken.tasks.iter().copied() {
            // A task that has ended may have left a waker behind, and another may have its number:
            // it is polled in vain.
            let taken = self.slab.borrow_mut().get_mut(id).and_then(|slot| {
                slot.waker.is_woken.store(false, Ordering::Release);
                Some((slot.task.take()?, slot.waker.clone()))
            });
            let Some((mut task, waker)) = taken else { continue };
            let waker = Waker::from(waker);
            let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
            let mut slab = self.slab.borrow_mut();
            match polled {
                Poll::Ready(()) => drop(slab.remove(id)),
                Poll::Pending => slab[id].task = Some(task),
            }
        }
    }

    /// Drops all tasks with whatever they are doing.
    pub fn clear(&self) {
        // What a task drops may spawn another.
        while let Some(id) = self.first() {
            let slot = self.slab.borrow_mut().remove(id);
            drop(slot);
        }
    }

    fn first(&self) -> Option<usize> {
        self.slab.borrow().iter().next().map(|(id, _)| id)
    }
}

impl Alarm {
    pub fn bell(&self) -> &OwnedFd {
        &self.bell
    }

    /// Says that the thread is about to wait; `false` where there is something to do instead.
    pub fn arm(&self) -> bool {
        let mut woken = self.lock();
        woken.is_waited_for = woken.tasks.is_empty();
        woken.is_waited_for
    }

    /// Says that the thread has waited.
    pub fn disarm(&self) {
        self.lock().is_waited_for = false;
    }

    fn take_woken(&self) -> Vec<usize> {
        std::mem::take(&mut self.lock().tasks)
    }

    fn ring(&self, task: usize) {
        let mut woken = self.lock();
        woken.tasks.push(task);
        let is_waited_for = std::mem::take(&mut woken.is_waited_for);
        drop(woken);
        if is_waited_for {
            // Fails only where the counter is full, and then the bell rings anyway.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskWaker {
    fn new(id: usize, alarm: &Arc<Alarm>) -> Self {
        Self { id, is_woken: AtomicBool::new(false), alarm: alarm.clone() }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            self.alarm.ring(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{EventfdFlags, eventfd};
    use std::cell::Cell;
    use std::rc::Rc;

    fn tasks() -> Tasks {
        Tasks::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap())
    }

    #[test]
    fn the_main_task_is_woken_from_the_start() {
        let tasks = tasks();
        assert!(tasks.take_woken().has_main);
        assert!(tasks.take_woken().is_empty());
        std::thread::scope(|scope| {
            let waker = tasks.main_waker();
            scope.spawn(move || waker.wake());
        });
        assert!(tasks.take_woken().has_main);
    }

    #[test]
    fn a_task_is_polled_once_for_each_time_it_is_woken() {
        let tasks = tasks();
        let polls = Rc::new(Cell::new(0));
        let waker = Rc::new(RefCell::new(None::<Waker>));
        let (counted, kept) = (polls.clone(), waker.clone());
        tasks.spawn(std::future::poll_fn(move |context| {
            counted.set(counted.get() + 1);
            *kept.borrow_mut() = Some(context.waker().clone());
            if counted.get() == 3 { Poll::Ready(()) } else { Poll::Pending }
        }));
        tasks.poll(&tasks.take_woken());
        tasks.poll(&tasks.take_woken());
        assert_eq!(polls.get(), 1);
        let wake = || waker.borrow().clone().unwrap().wake();
        wake();
        wake();
        tasks.poll(&tasks.take_woken());
        assert_eq!(polls.get(), 2);
        wake();
        tasks.poll(&tasks.take_woken());
        wake();
        tasks.poll(&tasks.take_woken());
        assert_eq!(polls.get(), 3);
    }

    #[test]
    fn the_bell_rings_only_for_who_waits() {
        let tasks = tasks();
        tasks.take_woken();
        assert!(tasks.alarm().arm());
        let alarm = tasks.alarm.clone();
        std::thread::spawn(move || alarm.ring(7)).join().unwrap();
        tasks.alarm().ring(8);
        let mut count = [0; 8];
        assert_eq!(rustix::io::read(tasks.alarm().bell(), &mut count).unwrap(), 8);
        assert_eq!(u64::from_ne_bytes(count), 1);
        assert!(!tasks.alarm().arm());
        assert_eq!(tasks.alarm().take_woken(), [7, 8]);
    }

    #[test]
    fn what_a_dropped_task_spawns_is_dropped_as_well() {
        struct Spawns(Rc<Tasks>, Rc<Cell<u32>>);
        impl Drop for Spawns {
            fn drop(&mut self) {
                let dropped = self.1.clone();
                dropped.set(dropped.get() + 1);
                if dropped.get() < 3 {
                    let next = Spawns(self.0.clone(), dropped);
                    self.0.spawn(async move {
                        let _next = next;
                        std::future::pending::<()>().await;
                    });
                }
            }
        }
        let (tasks, dropped) = (Rc::new(tasks()), Rc::new(Cell::new(0)));
        let first = Spawns(tasks.clone(), dropped.clone());
        tasks.spawn(async move {
            let _first = first;
            std::future::pending::<()>().await;
        });
        tasks.clear();
        assert_eq!(dropped.get(), 3);
    }
}
