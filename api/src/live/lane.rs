//! A WebSocket client's short way: while it has all that there is, the pump writes to its socket itself.
//!
//! To wake a session so that it takes one frame and sleeps again costs half as much as the system call that
//! sends it. A session that has nothing to do *parks* its lane; the pump then *hands* it what is new, in one
//! write that does not wait. Whatever is not that simple (a full socket, a reading, something that the client
//! says) *wakes* the session, which takes the lane back and is alone with its socket until it parks again.
//! So each frame is written once, in order, by whoever has the lane.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwire_model::Cursor;
use bytes::Bytes;

use crate::live::wire::Coding;

/// Where bytes can be written by whoever holds it, without waiting.
pub(crate) trait Outlet: std::fmt::Debug + Send + Sync {
    /// Writes what the system takes at once.
    ///
    /// # Errors
    /// `WouldBlock` if that is nothing; others if the connection is no more.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// The short way to one client; shut until its session opens it.
#[derive(Debug, Default)]
pub(crate) struct Lane(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    outlet: Option<(Arc<dyn Outlet>, Coding)>,
    parked: Option<Parked>,
    /// The session has been woken: it has something to do before more is handed over.
    is_called: bool,
}

/// Where a client stands whose session sleeps.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    /// The number of the first transition that it was not given.
    pub(crate) next: u64,
    /// What it has seen.
    pub(crate) cursor: Cursor,
    /// What its socket did not take of the last frames.
    pub(crate) rest: Option<Bytes>,
}

/// Transitions one behind the other, as a client gets them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// The number of the first.
    pub(crate) first: u64,
    /// The number behind the last.
    pub(crate) end: u64,
    /// What a client has seen that has them all.
    pub(crate) cursor: Cursor,
}

/// What became of frames that were handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handed {
    /// The client's socket has them.
    All,
    /// The client is to be woken: it has a part of them, or none.
    Not,
}

impl Lane {
    /// From now on what is new may be written to `outlet` while the lane is parked.
    pub(crate) fn open(&self, outlet: Arc<dyn Outlet>, coding: Coding) {
        self.lock().outlet = Some((outlet, coding));
    }

    /// For ever: nothing is written to a socket that somebody else may have next.
    pub(crate) fn shut(&self) {
        *self.lock() = State::default();
    }

    /// The session sleeps, unless it has been called since it last took the lane back; its client has
    /// everything before `next`.
    pub(crate) fn park(&self, next: u64, cursor: Cursor) {
        let mut state = self.lock();
        if state.outlet.is_some() && !state.is_called {
            state.parked = Some(Parked { next, cursor, rest: None });
        }
    }

    /// The session is awake, and looks next for what there is; where its client stands now, if the lane was
    /// parked.
    pub(crate) fn take_back(&self) -> Option<Parked> {
        let mut state = self.lock();
        state.is_called = false;
        state.parked.take()
    }

    /// Nothing is handed over before the session has been awake: it is being woken.
    pub(crate) fn call(&self) {
        self.lock().is_called = true;
    }

    /// Writes frames to the client if it stands right before them. `frames` gives their bytes.
    pub(crate) fn hand<'f>(
        &self,
        stretch: Stretch,
        frames: impl FnOnce(Coding) -> &'f Bytes,
    ) -> Handed {
        let mut state = self.lock();
        let State { outlet: Some((outlet, coding)), parked: Some(parked), is_called: false } =
            &mut *state
        else {
            return Handed::Not;
        };
        // Transitions that it does not hear of may lie between.
        if parked.next > stretch.first {
            return Handed::Not;
        }
        let frames = frames(*coding);
        let handed = match outlet.try_write(frames) {
            Ok(n) if n == frames.len() => Handed::All,
            Ok(n) if n > 0 => {
                parked.rest = Some(frames.slice(n..));
                Handed::Not
            }
            // The session sees for itself what is the matter.
            Ok(_) | Err(_) => {
                state.is_called = true;
                return Handed::Not;
            }
        };
        (parked.next, parked.cursor) = (stretch.end, stretch.cursor);
        state.is_called = handed == Handed::Not;
        handed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything that could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bellwire_model::{LogId, LogPosition};
    use proptest::prelude::*;

    use super::*;
    use crate::ports::Place;

    /// A socket that takes as many bytes as it has room for.
    #[derive(Debug, Default)]
    struct Narrow {
        room: AtomicUsize,
        written: Mutex<Vec<u8>>,
    }

    impl Outlet for Narrow {
        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.room.load(Ordering::Relaxed));
            if n == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room.fetch_sub(n, Ordering::Relaxed);
            self.written.lock().expect("whole").extend_from_slice(&bytes[..n]);
            Ok(n)
        }
    }

    fn cursor(number: u64) -> Cursor {
        Place { position: LogPosition(number), ordinal: 0 }.cursor(LogId(1))
    }

    fn frame(number: u64) -> Vec<u8> {
        format!("<{number}>").into_bytes()
    }

    /// What happens to one client, in any order.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// So many transitions more, every third of which it does not hear.
        Push(u64),
        /// The same, but it is only woken.
        PushElsewhere(u64),
        Wake,
        /// Its session looks for what there is.
        Look,
        /// It writes, and sleeps or waits for its socket.
        Write,
        Drain(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1..4_u64).prop_map(Step::Push),
            1 => (1..4_u64).prop_map(Step::PushElsewhere),
            1 => Just(Step::Wake),
            4 => Just(Step::Look),
            4 => Just(Step::Write),
            3 => (0..40_usize).prop_map(Step::Drain),
        ]
    }

    /// A session as [`crate::live::session`] is one, without async.
    #[derive(Debug)]
    struct World {
        lane: Lane,
        socket: Arc<Narrow>,
        head: u64,
        /// The session's own.
        next: u64,
        out: VecDeque<u8>,
        is_awake: bool,
        is_writing: bool,
        n_handed: usize,
    }

    impl World {
        fn push(&mut self, n: u64, how: fn(&mut Self, u64)) {
            let first = self.head;
            self.head += n;
            how(self, first);
        }

        fn hand(&mut self, first: u64) {
            let heard: Vec<_> = (first..self.head).filter(|it| it % 3 != 0).collect();
            if heard.is_empty() {
                return;
            }
            let stretch = Stretch { first, end: self.head, cursor: cursor(self.head) };
            let frames: Bytes = heard.iter().flat_map(|it| frame(*it)).collect::<Vec<_>>().into();
            match self.lane.hand(stretch, |_| &frames) {
                Handed::All => self.n_handed += 1,
                Handed::Not => self.wake(),
            }
        }

        fn wake(&mut self) {
            self.lane.call();
            self.is_awake = true;
        }

        fn look(&mut self) {
            if !std::mem::take(&mut self.is_awake) {
                return;
            }
            if let Some(parked) = self.lane.take_back() {
                assert_eq!(parked.cursor, cursor(parked.next));
                self.next = parked.next;
                self.out.extend(parked.rest.unwrap_or_default());
            }
            let heard = (self.next..self.head).filter(|it| it % 3 != 0);
            self.out.extend(heard.flat_map(frame));
            self.next = self.head;
            self.is_writing = true;
        }

        fn write(&mut self) {
            if !self.is_writing {
                return;
            }
            let n = self.socket.try_write(self.out.make_contiguous()).unwrap_or(0);
            self.out.drain(..n);
            if self.out.is_empty() {
                self.is_writing = false;
                self.lane.park(self.next, cursor(self.next));
            }
        }
    }

    proptest! {
        #[test]
        fn each_frame_is_written_once_and_in_order(steps in prop::collection::vec(step(), 1..200)) {
            let socket = Arc::new(Narrow::default());
            let mut world = World {
                lane: Lane::default(),
                socket: Arc::clone(&socket),
                head: 0,
                next: 0,
                out: VecDeque::new(),
                is_awake: true,
                is_writing: false,
                n_handed: 0,
            };
            world.lane.open(Arc::clone(&socket) as Arc<dyn Outlet>, Coding::Plain);
            for step in steps {
                match step {
                    Step::Push(n) => world.push(n, World::hand),
                    Step::PushElsewhere(n) => world.push(n, |world, _| world.wake()),
                    Step::Wake => world.wake(),
                    Step::Look if !world.is_writing => world.look(),
                    Step::Look => {}
                    Step::Write => world.write(),
                    Step::Drain(n) => {
                        socket.room.fetch_add(n, Ordering::Relaxed);
                    }
                }
            }
            socket.room.store(usize::MAX, Ordering::Relaxed);
            world.write();
            world.wake();
            world.look();
            world.write();
            let expected: Vec<u8> =
                (0..world.head).filter(|it| it % 3 != 0).flat_map(frame).collect();
            prop_assert_eq!(&*socket.written.lock().expect("whole"), &expected);
        }
    }

    #[test]
    fn who_has_all_is_handed_what_is_new_and_who_left_is_not() {
        let socket = Arc::new(Narrow { room: 4.into(), ..Narrow::default() });
        let lane = Lane::default();
        let stretch = |first| Stretch { first, end: first + 1, cursor: cursor(first + 1) };
        let frames = Bytes::from_static(b"abc");
        let hand = |first| lane.hand(stretch(first), |_| &frames);
        assert_eq!(hand(0), Handed::Not, "it is shut");
        lane.open(Arc::clone(&socket) as Arc<dyn Outlet>, Coding::Plain);
        assert_eq!(hand(0), Handed::Not, "its session is awake");
        lane.park(0, cursor(0));
        assert_eq!(hand(0), Handed::All);
        assert_eq!(hand(1), Handed::Not, "a part of it");
        assert_eq!(hand(2), Handed::Not, "the rest comes first");
        let parked = lane.take_back().expect("parked");
        assert_eq!((parked.next, parked.rest.as_deref()), (2, Some(&b"bc"[..])));
        lane.park(2, cursor(2));
        lane.shut();
        socket.room.store(9, Ordering::Relaxed);
        assert_eq!(hand(2), Handed::Not);
        assert_eq!(&*socket.written.lock().expect("whole"), b"abca");
    }
}
