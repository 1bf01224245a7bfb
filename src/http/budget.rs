//! The memory that bodies may take up between the network and the workers that unpack them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A semaphore counts in 32 bits, so it counts KiB: 4 TiB is more than any machine has.
const UNIT: u64 = 1024;

/// A number of bytes that reservations are taken from. Whoever holds one asks for no second, and
/// gives it back without waiting for anyone, so that waiting for one always ends.
#[derive(Clone, Debug)]
pub struct Budget {
    units: Arc<Semaphore>,
    units_max: u32,
}

/// A part of a [`Budget`], given back when dropped, on whichever thread.
#[derive(Debug)]
pub struct Reservation {
    permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub fn new(bytes: u64) -> Self {
        let units_max = units(bytes).max(1);
        Self { units: Arc::new(Semaphore::new(units_max as usize)), units_max }
    }

    /// Waits until `bytes` are free, first come, first served. More than the whole budget is
    /// taken as the whole of it, which holds back all others instead of waiting for ever.
    pub async fn reserve(&self, bytes: u64) -> Reservation {
        let count = units(bytes).min(self.units_max);
        match self.units.clone().acquire_many_owned(count).await {
            Ok(permit) => Reservation { permit: Some(permit) },
            Err(_) => unreachable!("the semaphore of a budget is never closed"),
        }
    }

    /// The bytes that are free, in whole KiB.
    pub fn available(&self) -> u64 {
        self.units.available_permits() as u64 * UNIT
    }
}

impl Reservation {
    /// Gives back what is more than `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let Some(permit) = &mut self.permit else { return };
        let surplus = permit.num_permits().saturating_sub(units(bytes) as usize);
        drop(permit.split(surplus));
    }
}

/// Rounded up: a body of one byte takes up a KiB.
fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(UNITS_MAX)
}

/// What a semaphore can hold on a machine of 32 bits.
const UNITS_MAX: u32 = u32::MAX >> 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::network::Driver;
    use crate::backend::network::testing::run_on;

    #[test]
    fn a_reservation_is_given_back_from_any_thread() {
        let budget = Budget::new(8 * UNIT);
        let reservation = run_on(Driver::Epoll, async |_| budget.reserve(3 * UNIT + 1).await);
        assert_eq!(budget.available(), 4 * UNIT);
        std::thread::spawn(move || drop(reservation)).join().unwrap();
        assert_eq!(budget.available(), 8 * UNIT);
    }

    #[test]
    fn a_reservation_can_shrink() {
        let budget = Budget::new(8 * UNIT);
        let mut reservation = run_on(Driver::Epoll, async |_| budget.reserve(8 * UNIT).await);
        reservation.shrink_to(UNIT);
        assert_eq!(budget.available(), 7 * UNIT);
        reservation.shrink_to(4 * UNIT);
        assert_eq!(budget.available(), 7 * UNIT);
        reservation.shrink_to(0);
        assert_eq!(budget.available(), 8 * UNIT);
    }

    #[test]
    fn more_than_the_whole_budget_is_the_whole() {
        let budget = Budget::new(UNIT);
        let reservation = run_on(Driver::Epoll, async |_| budget.reserve(u64::MAX).await);
        assert_eq!(budget.available(), 0);
        drop(reservation);
        assert_eq!(budget.available(), UNIT);
    }
}
