//! The resolutions of one shard, polled without a runtime.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::resolve::{Outcome, TaskId};

/// What a task does; `None` when it has nothing to hand over.
pub(super) type Run = Pin<Box<dyn Future<Output = Option<Outcome>>>>;

/// Tasks by place and generation.
#[derive(Default)]
pub(super) struct Tasks {
    places: Vec<(u32, Option<Run>)>,
    free: Vec<u32>,
    count: usize,
}

impl Tasks {
    /// Adds a task; somebody has to poll it.
    pub fn add(&mut self, run: Run) -> TaskId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        let place = &mut self.places[index as usize];
        place.0 = place.0.wrapping_add(1);
        place.1 = Some(run);
        self.count += 1;
        TaskId(u64::from(place.0) << 32 | u64::from(index))
    }

    /// Polls a task, if it is still there. `Some`: it has ended, with what it hands over.
    pub fn poll(&mut self, task: TaskId) -> Option<Option<Outcome>> {
        let index = (task.0 & 0xffff_ffff) as usize;
        let place = self.places.get_mut(index)?;
        if u64::from(place.0) != task.0 >> 32 {
            return None;
        }
        let run = place.1.as_mut()?;
        match run.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => None,
            Poll::Ready(outcome) => {
                place.1 = None;
                self.free.push(u32::try_from(index).unwrap_or(u32::MAX));
                self.count -= 1;
                Some(outcome)
            }
        }
    }

    /// Tasks that have not ended.
    pub fn count(&self) -> usize {
        self.count
    }
}
