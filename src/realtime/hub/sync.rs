//! The hub's locks. In tests they may stand in a model, which tries out in what order threads take them.

#[cfg(not(test))]
pub use parking_lot::{Mutex, MutexGuard};

#[cfg(test)]
pub use modelled::{Mutex, MutexGuard, model};

#[cfg(test)]
mod modelled {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};

    use shuttle::Runner;
    use shuttle::scheduler::RandomScheduler;

    thread_local! {
        /// The model runs all its threads on the one it was called on.
        static IN_MODEL: Cell<bool> = const { Cell::new(false) };
    }

    /// What a thread of the model has for its calls: those of a build without optimisation are long, and nothing guards it.
    const STACK_LEN: usize = 512 * 1024;

    /// Runs `scene` many times, each with another order of its threads.
    pub fn model(times: usize, scene: impl Fn() + Send + Sync + 'static) {
        let mut config = shuttle::Config::new();
        config.stack_size = STACK_LEN;
        IN_MODEL.set(true);
        Runner::new(RandomScheduler::new(times), config).run(scene);
        IN_MODEL.set(false);
    }

    /// The real lock; made within a model, the model says who gets it.
    pub struct Mutex<T> {
        turn: Option<shuttle::sync::Mutex<()>>,
        real: parking_lot::Mutex<T>,
    }

    pub struct MutexGuard<'a, T> {
        // Let go before the turn is.
        real: parking_lot::MutexGuard<'a, T>,
        _turn: Option<shuttle::sync::MutexGuard<'a, ()>>,
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Mutex::new(T::default())
        }
    }

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Mutex<T> {
            let turn = IN_MODEL.get().then(|| shuttle::sync::Mutex::new(()));
            Mutex { turn, real: parking_lot::Mutex::new(value) }
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            let turn = self.turn.as_ref().map(|turn| turn.lock().expect("no panic under a lock"));
            MutexGuard { real: self.real.lock(), _turn: turn }
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.real
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.real
        }
    }
}
