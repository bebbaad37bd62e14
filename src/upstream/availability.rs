//! Whether the app can be asked, and where; requests wait here while it cannot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use http::request::Parts;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::address::Address;
use super::config::Config;
use super::metrics::{Metrics, Waiting};
use super::pool::Pool;
use super::previous::Previous;
use crate::http::Failure;
use crate::settings::Live;
use crate::shares::{Holder, Shares};

/// What a client is told with a 503. An app starts within seconds; people come back by themselves.
const COME_BACK: Duration = Duration::from_secs(3);

/// The pool that requests go to, if there is one: requests wait here, `wait_timeout` at most, while there is none.
pub struct Availability {
    config: Live<Config>,
    /// The one that requests go to once it has been found.
    candidate: Mutex<Option<Arc<Pool>>>,
    /// `None` while there is nobody to ask.
    pool: watch::Sender<Option<Arc<Pool>>>,
    /// It answered when it was last asked.
    answers: AtomicBool,
    /// It has answered since the last look; saves a clock on every answer.
    heard: AtomicBool,
    /// Why it was not there when it was last looked for.
    cause: Mutex<Option<String>>,
    /// What is done before it can be started, and takes longer than anybody waits.
    stage: watch::Sender<Option<&'static str>>,
    /// Of those who wait, bounded by `wait_limit`. Full, or as many as one client may have: refused with 503.
    places: Arc<Shares>,
    metrics: Metrics,
    /// The app of before the last deploy, while it is kept.
    pub previous: Previous,
    /// Counts the apps there were, one after another, that do not say the same: other builds, other addresses.
    generations: watch::Sender<u64>,
    /// The app that was put in the place of another last has ended by itself.
    ended: AtomicBool,
}

/// How long one request may wait, over all its tries. It begins with the first wait.
#[derive(Default)]
pub struct WaitDeadline(Option<Instant>);

impl Availability {
    pub fn new(config: Live<Config>, metrics: Metrics) -> Availability {
        let places = Shares::new("app.wait_limit", config.get().wait_limit);
        Availability {
            config,
            candidate: Mutex::new(None),
            pool: watch::Sender::new(None),
            answers: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            cause: Mutex::new(None),
            stage: watch::Sender::new(None),
            places,
            metrics,
            previous: Previous::new(),
            generations: watch::Sender::new(0),
            ended: AtomicBool::new(false),
        }
    }

    /// Whom to ask on behalf of `holder`; waits while there is nobody.
    ///
    /// # Errors
    /// 503 when too many wait, or when it takes too long.
    pub async fn acquire(&self, deadline: &mut WaitDeadline, holder: Holder) -> Result<Arc<Pool>, Failure> {
        if let Some(pool) = &*self.pool.borrow()
            && deadline.is_left()
        {
            return Ok(Arc::clone(pool));
        }
        self.wait(deadline, holder).await
    }

    /// Whom to ask what `parts` ask: where they are of a page of the build before the last deploy, its app while it is
    /// kept.
    ///
    /// # Errors
    /// As for [`acquire`](Availability::acquire).
    pub async fn acquire_for(
        &self,
        parts: &Parts,
        deadline: &mut WaitDeadline,
        holder: Holder,
    ) -> Result<Arc<Pool>, Failure> {
        match self.previous.find(&parts.uri, &parts.headers) {
            Some(pool) => Ok(pool),
            None => self.acquire(deadline, holder).await,
        }
    }

    #[cold]
    async fn wait(&self, deadline: &mut WaitDeadline, holder: Holder) -> Result<Arc<Pool>, Failure> {
        let config = self.config.get();
        let until = *deadline.0.get_or_insert_with(|| Instant::now() + config.wait_timeout);
        self.places.limit(config.wait_limit);
        let Some(_place) = self.places.try_take(holder) else {
            self.metrics.failures.overload.inc();
            let reason = "The app is not there, and too many wait for it.";
            return Err(self.unavailable(reason));
        };
        let _waiting = Waiting::new(&self.metrics);
        let mut changes = self.pool.subscribe();
        let mut stage = self.stage.subscribe();
        let entered = tokio::select! {
            biased;
            Ok(stage) = stage.wait_for(Option::is_some) => Err(stage.unwrap_or_default()),
            entered = timeout_at(until, changes.wait_for(Option::is_some)) => Ok(entered),
        };
        let entered = match entered {
            Ok(entered) => entered,
            Err(stage) => {
                self.metrics.failures.unavailable.inc();
                // Nobody is at fault, and the log has the lines of what is being done.
                return Err(Failure::client(StatusCode::SERVICE_UNAVAILABLE, stage).retry_after(COME_BACK));
            }
        };
        if let Ok(Ok(pool)) = &entered
            && let Some(pool) = &**pool
            && deadline.is_left()
        {
            return Ok(Arc::clone(pool));
        }
        self.metrics.failures.unavailable.inc();
        Err(self.unavailable("The app is not there just now."))
    }

    fn unavailable(&self, reason: &'static str) -> Failure {
        let failure = Failure::app(StatusCode::SERVICE_UNAVAILABLE, reason).retry_after(COME_BACK);
        match self.cause.lock().as_ref() {
            Some(cause) => failure.detail(cause),
            None => failure,
        }
    }

    /// Tells those who come what is being done, in a sentence; `None`: the app is started now.
    pub fn set_stage(&self, stage: Option<&'static str>) {
        self.stage.send_replace(stage);
    }

    /// Why it is not there, for the log lines of those who wait in vain.
    pub fn not_found(&self, why: String) {
        *self.cause.lock() = Some(why);
    }

    /// `pool` is where the app is to be found from now on, once its keeper has found it; the one before is retired.
    pub fn set_candidate(&self, pool: &Arc<Pool>) {
        let mut candidate = self.candidate();
        if let Some(before) = candidate.replace(Arc::clone(pool)) {
            before.retire();
        }
        self.pool.send_replace(None);
        drop(candidate);
        self.falls_silent("it is to be found elsewhere");
    }

    /// Which app is asked; whoever keeps its answers takes the number before he asks.
    pub fn generation(&self) -> u64 {
        *self.generations.borrow()
    }

    /// It is another app that is asked from now on; said once nobody gets the one before any more.
    pub fn next_generation(&self) {
        self.generations.send_modify(|generation| *generation += 1);
    }

    /// Tells of each next one.
    pub fn generations(&self) -> watch::Receiver<u64> {
        self.generations.subscribe()
    }

    /// Requests go to `pool` at once, and no longer to the one before, unless that is kept for pages of its build.
    pub fn promote(&self, pool: &Arc<Pool>) {
        let mut candidate = self.candidate();
        if let Some(before) = candidate.replace(Arc::clone(pool))
            && !self.previous.is(&before)
        {
            before.retire();
        }
        self.pool.send_replace(Some(Arc::clone(pool)));
    }

    /// Notes that the app ended by itself, or that another takes its place.
    pub fn set_ended(&self, ended: bool) {
        self.ended.store(ended, Ordering::Relaxed);
    }

    /// Whether it has ended by itself, and started again perhaps, since it was put in the place of another.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Where requests go now.
    pub fn current(&self) -> Option<Arc<Pool>> {
        self.pool.borrow().clone()
    }

    /// `pool` was found; says whether it is the candidate one.
    pub fn open(&self, pool: &Arc<Pool>) -> bool {
        let candidate = self.candidate();
        let is_it = candidate.as_ref().is_some_and(|it| Arc::ptr_eq(it, pool));
        if is_it {
            self.pool.send_replace(Some(Arc::clone(pool)));
        }
        is_it
    }

    /// There is nothing behind `pool` any more.
    pub fn dismiss(&self, pool: &Arc<Pool>) {
        let mut candidate = self.candidate();
        pool.retire();
        if candidate.take_if(|it| Arc::ptr_eq(it, pool)).is_some() {
            self.pool.send_replace(None);
            drop(candidate);
            self.falls_silent("it ended");
        }
    }

    /// There is nobody to ask any more.
    pub fn clear(&self) {
        if let Some(before) = self.candidate().take() {
            before.retire();
        }
        self.pool.send_replace(None);
    }

    fn candidate(&self) -> MutexGuard<'_, Option<Arc<Pool>>> {
        self.candidate.lock()
    }

    /// `pool` gave no connection: nobody is asked until its keeper finds it again. Says whether it still stood here.
    pub fn mark_down(&self, pool: &Arc<Pool>, why: &dyn std::fmt::Display) -> bool {
        if self.previous.forget(pool) {
            // Whoever keeps it sees to the rest.
            return false;
        }
        let is_here = self.pool.send_if_modified(|here| here.take_if(|here| Arc::ptr_eq(here, pool)).is_some());
        if is_here {
            self.falls_silent(&why.to_string());
            pool.lost.notify_one();
        }
        is_here
    }

    /// Whether requests go to `pool` now.
    pub fn leads_to(&self, pool: &Arc<Pool>) -> bool {
        self.pool.borrow().as_ref().is_some_and(|here| Arc::ptr_eq(here, pool))
    }

    /// Where requests go now.
    pub fn address(&self) -> Option<Address> {
        self.pool.borrow().as_ref().map(|pool| pool.address.clone())
    }

    /// The app has answered; on the path of every request, so it writes only what is news.
    pub fn mark_up(&self) {
        if !self.heard.load(Ordering::Relaxed) {
            self.heard.store(true, Ordering::Relaxed);
        }
        if !self.answers.load(Ordering::Relaxed) && !self.answers.swap(true, Ordering::Relaxed) {
            self.metrics.ready.set(1);
            info!("the app answers");
        }
    }

    /// Whether it has answered since this was last asked.
    pub fn take_heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    pub fn falls_silent(&self, why: &str) {
        self.not_found(why.to_owned());
        if self.answers.swap(false, Ordering::Relaxed) {
            self.metrics.ready.set(0);
            warn!(why, "the app does not answer");
        }
    }

    pub fn answers(&self) -> bool {
        self.answers.load(Ordering::Relaxed) && self.pool.borrow().is_some()
    }
}

impl WaitDeadline {
    fn is_left(&self) -> bool {
        self.0.is_none_or(|deadline| Instant::now() < deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Registry;
    use crate::upstream::sign_of_life::SignOfLife;

    /// Nobody is asked yet.
    fn availability(config: Config) -> (Arc<Availability>, Arc<Pool>) {
        let metrics = Metrics::new(&mut Registry::default());
        let availability = Arc::new(Availability::new(Live::new(config.clone()), metrics.clone()));
        let address = Address::Tcp { host: "127.0.0.1".into(), port: 9 };
        (availability, Pool::new(address, SignOfLife::unknown(), Arc::new(config), metrics))
    }

    #[tokio::test(start_paused = true)]
    async fn whose_time_is_over_is_told_so_though_the_app_is_back() {
        let (availability, pool) = availability(Config::default());
        let (holder, second) = (Holder::of([192, 0, 2, 1].into()), Duration::from_secs(1));
        availability.promote(&pool);
        let mut left = WaitDeadline(Some(Instant::now() + second));
        assert!(availability.acquire(&mut left, holder).await.is_ok());
        tokio::time::advance(second).await;
        let failure = availability.acquire(&mut left, holder).await.err().expect("no time is left");
        assert_eq!(failure.status, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn what_it_answers_is_news_once_and_heard_each_time() {
        let (availability, pool) = availability(Config::default());
        availability.promote(&pool);
        assert!(!availability.answers() && !availability.take_heard());
        for _ in 0..2 {
            availability.mark_up();
            assert!(availability.answers() && availability.take_heard() && !availability.take_heard());
            assert_eq!(availability.metrics.ready.get(), 1);
        }
        availability.falls_silent("it ended");
        assert_eq!((availability.answers(), availability.metrics.ready.get()), (false, 0));
    }

    fn gets(availability: &Availability, ready: i64) -> (bool, bool, bool) {
        assert_eq!(availability.metrics.ready.get(), ready);
        (availability.current().is_some(), availability.address().is_some(), availability.answers())
    }

    #[tokio::test]
    async fn what_is_gone_is_asked_no_more() {
        let gone = |pool: &Arc<Pool>| pool.is_retired();
        let (availability, pool) = availability(Config::default());
        let (_, other) = self::availability(Config::default());
        availability.promote(&pool);
        availability.mark_up();
        availability.dismiss(&other);
        assert_eq!((gets(&availability, 1), gone(&other), gone(&pool)), ((true, true, true), true, false));
        availability.dismiss(&pool);
        assert_eq!((gets(&availability, 0), gone(&pool)), ((false, false, false), true));
        assert!(!availability.open(&pool), "nor is it when its keeper finds it");

        let (_, next) = self::availability(Config::default());
        availability.promote(&next);
        assert_eq!(availability.address().as_ref(), Some(&next.address));
        availability.clear();
        assert_eq!((availability.current().is_none(), gone(&next)), (true, true));
    }

    #[tokio::test]
    async fn a_late_answer_brings_back_nobody() {
        let (availability, pool) = availability(Config::default());
        availability.promote(&pool);
        availability.mark_up();
        assert!(availability.mark_down(&pool, &"it gave no connection"));
        assert_eq!(gets(&availability, 0), (false, false, false));
        // To a question from before that.
        availability.mark_up();
        assert!(!availability.answers());
        assert!(availability.open(&pool) && availability.answers());
    }

    #[tokio::test]
    async fn one_before_is_let_go_of_unless_it_is_kept() {
        let (availability, first) = availability(Config::default());
        let [second, third] = [(); 2].map(|()| self::availability(Config::default()).1);
        availability.promote(&first);
        availability.promote(&second);
        availability.previous.keep(&second);
        availability.promote(&third);
        assert_eq!([&first, &second, &third].map(|pool| pool.is_retired()), [true, false, false]);
        // Of the one that is kept there is nothing more to say than that it is gone.
        availability.mark_up();
        assert!(!availability.mark_down(&second, &"it gave no connection") && availability.leads_to(&third));
        assert_eq!((availability.previous.is(&second), gets(&availability, 1)), (false, (true, true, true)));
    }

    #[tokio::test]
    async fn each_app_has_its_number_and_its_end() {
        let (availability, _) = availability(Config::default());
        let mut told = availability.generations();
        for (number, ended) in [(0, false), (1, true), (2, false)] {
            assert_eq!((availability.generation(), *told.borrow_and_update()), (number, number));
            availability.set_ended(ended);
            assert_eq!(availability.has_ended(), ended);
            availability.next_generation();
            assert!(told.has_changed().unwrap());
        }
    }

    /// An app that comes up and dies again and again keeps nobody for ever.
    #[tokio::test(start_paused = true)]
    async fn a_request_waits_once_however_often_it_returns() {
        let wait_timeout = Duration::from_secs(10);
        let (availability, pool) = availability(Config { wait_timeout, ..Config::default() });
        let (mut deadline, began, mut found) = (WaitDeadline::default(), Instant::now(), 0);
        let holder = Holder::of([192, 0, 2, 1].into());
        let failure = loop {
            let (coming, comes) = (Arc::clone(&availability), Arc::clone(&pool));
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(3)).await;
                coming.promote(&comes);
            });
            match availability.acquire(&mut deadline, holder).await {
                Ok(pool) => found += usize::from(availability.mark_down(&pool, &"it gave no connection")),
                Err(failure) => break failure,
            }
        };
        assert_eq!((found, failure.status), (3, StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(began.elapsed(), wait_timeout);
    }
}
