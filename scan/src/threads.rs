//! Threads that may not start: a low `RLIMIT_NPROC`, a full control group or no memory for a stack is a
//! slower run, not the end of the program.
//!
//! `std::thread::scope` panics if a thread cannot be created. These helpers carry on with the threads
//! that the kernel gave, and do the work on the calling thread if it gave none.

use std::thread::{Builder, Scope, ScopedJoinHandle};

/// The threads of [`spawn_up_to`], which must be joined: only that does the work if none has started.
#[derive(Debug)]
#[must_use = "without a join nothing may be done"]
pub struct Workers<'scope, T, F> {
    handles: Vec<ScopedJoinHandle<'scope, T>>,
    work: F,
}

/// Starts up to `count` threads of `scope` that do `work`, and stops at the first that cannot be created.
///
/// All of them should draw from something shared, such as a queue: fewer threads then do the same work.
pub fn spawn_up_to<'scope, T, F>(
    scope: &'scope Scope<'scope, '_>,
    count: usize,
    work: F,
) -> Workers<'scope, T, F>
where
    F: Fn() -> T + Copy + Send + 'scope,
    T: Send + 'scope,
{
    spawn_with_builders(scope, (0..count).map(|_| Builder::new()), work)
}

fn spawn_with_builders<'scope, T, F>(
    scope: &'scope Scope<'scope, '_>,
    builders: impl Iterator<Item = Builder>,
    work: F,
) -> Workers<'scope, T, F>
where
    F: Fn() -> T + Copy + Send + 'scope,
    T: Send + 'scope,
{
    // One failure ends the series: the next attempt would fail for the same reason.
    let handles = builders
        .map_while(|builder| builder.spawn_scoped(scope, work).ok())
        .collect();
    Workers { handles, work }
}

impl<T, F: Fn() -> T> Workers<'_, T, F> {
    /// Number of threads that started. With 0 of them, a caller that feeds a bounded queue must not wait
    /// for room in it before [`Workers::join`].
    pub fn started(&self) -> usize {
        self.handles.len()
    }

    /// Waits for all threads, and returns each one's result. Does the work on the calling thread if no
    /// thread has started, so that there is always at least one result.
    pub fn join(self) -> Vec<T> {
        // On a host that grants no thread, nothing would be compared, and so nothing found wrong.
        if self.handles.is_empty() {
            return vec![(self.work)()];
        }
        let results = self.handles.into_iter().map(|thread| {
            // A thread that panics takes the program with it: work left undone is no result.
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        results.collect()
    }
}

/// Starts one thread that outlives its caller. An error if it cannot be created, never a panic.
pub fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<T>> {
    Builder::new().spawn(work)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        thread,
    };

    use super::*;

    /// A builder for which the kernel has no memory: no limit of the host is needed to see it fail.
    fn impossible() -> Builder {
        Builder::new().stack_size(1 << 60)
    }

    #[test]
    fn thread_with_impossible_stack_size_fails_to_spawn() {
        assert!(impossible().spawn(|| ()).is_err());
        assert!(Builder::new().spawn(|| ()).is_ok());
    }

    /// Sums 1 to 1,000 on `good` threads that start and `bad` ones that do not.
    fn sum(good: usize, bad: usize) -> (usize, usize, usize) {
        let next = AtomicUsize::new(1);
        thread::scope(|scope| {
            let builders = (0..good + bad).map(|number| {
                if number < good {
                    Builder::new()
                } else {
                    impossible()
                }
            });
            let workers = spawn_with_builders(scope, builders, || {
                let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
                numbers.take_while(|number| *number <= 1000).sum::<usize>()
            });
            let started = workers.started();
            let parts = workers.join();
            (started, parts.len(), parts.into_iter().sum())
        })
    }

    #[test]
    fn work_completes_with_all_some_or_no_threads() {
        assert_eq!(sum(4, 0), (4, 4, 500_500));
        assert_eq!(sum(2, 3), (2, 2, 500_500));
        assert_eq!(sum(0, 4), (0, 1, 500_500));
        assert_eq!(sum(0, 0), (0, 1, 500_500));
    }

    #[test]
    fn workers_without_threads_run_at_join_on_queued_input() {
        let (sender, receiver) = mpsc::channel::<u32>();
        let receiver = Mutex::new(receiver);
        let receiver = &receiver;
        let sum = thread::scope(|scope| {
            let none = std::iter::once(impossible());
            let workers =
                spawn_with_builders(scope, none, || receiver.lock().unwrap().iter().sum::<u32>());
            for number in 1..=10 {
                sender.send(number).unwrap();
            }
            drop(sender);
            workers.join()
        });
        assert_eq!(sum, [55]);
    }
}
