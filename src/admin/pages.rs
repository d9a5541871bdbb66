//! Pages that take a while to make: one at a time, away from where the clusters are watched, and one for all who have asked
//! before it was begun. However many ask, they take no more than one thread's share from probes and clients.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use hyper::body::Bytes;
use tokio::{sync::Mutex, task::JoinError};

/// Who makes pages.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// The number of the shared page that was begun last.
    begun: Arc<AtomicU64>,
    made: Arc<Mutex<Made>>,
}

/// The shared page that was made last.
#[derive(Debug, Default)]
struct Made {
    number: u64,
    page: Bytes,
}

impl Pages {
    /// A page that was begun after it was asked for, by whomever: nobody is shown what is older than the question.
    pub(super) async fn shared(
        &self,
        make: impl FnOnce() -> String + Send + 'static,
    ) -> Result<Bytes, JoinError> {
        let asked_at = self.begun.load(Ordering::Acquire);
        let mut made = self.made.clone().lock_owned().await;
        if made.number > asked_at {
            return Ok(made.page.clone());
        }
        let begun = self.begun.clone();
        // Its turn lasts until the page is made, whether anybody waits for it still or not.
        tokio::task::spawn_blocking(move || {
            let number = begun.fetch_add(1, Ordering::AcqRel) + 1;
            let page = Bytes::from(make());
            *made = Made { number, page: page.clone() };
            page
        })
        .await
    }

    /// A page that nobody else can use.
    pub(super) async fn own<T: Send + 'static>(
        &self,
        make: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let turn = self.made.clone().lock_owned().await;
        tokio::task::spawn_blocking(move || {
            let page = make();
            drop(turn);
            page
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    /// Pages that say the how manieth they are, made when they are let.
    #[derive(Default)]
    struct Bench {
        pages: Arc<Pages>,
        made: Arc<AtomicU64>,
        at_work: Arc<AtomicU64>,
    }

    impl Bench {
        fn make(&self, start: mpsc::Receiver<()>) -> impl FnOnce() -> String + Send + 'static {
            let (made, at_work) = (self.made.clone(), self.at_work.clone());
            move || {
                assert_eq!(at_work.fetch_add(1, Ordering::AcqRel), 0, "one at a time");
                let _ = start.recv_timeout(Duration::from_secs(10));
                at_work.fetch_sub(1, Ordering::AcqRel);
                (made.fetch_add(1, Ordering::AcqRel) + 1).to_string()
            }
        }

        /// Somebody asks; what lets the page be made if it is this one's turn, and what is shown.
        async fn ask(&self) -> (mpsc::SyncSender<()>, tokio::task::JoinHandle<Bytes>) {
            let (start, starts) = mpsc::sync_channel(1);
            let (pages, make) = (self.pages.clone(), self.make(starts));
            let shown = tokio::spawn(async move { pages.shared(make).await.unwrap() });
            // It is asked before anything else is done.
            tokio::task::yield_now().await;
            (start, shown)
        }

        async fn until_at_work(&self) {
            while self.at_work.load(Ordering::Acquire) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    #[tokio::test]
    async fn one_is_made_for_all_who_asked_before_it_was_begun() {
        let bench = Bench::default();
        let (start, first) = bench.ask().await;
        bench.until_at_work().await;
        let mut others = Vec::new();
        for _ in 0..100 {
            others.push(bench.ask().await);
        }
        drop(start);
        assert_eq!(&*first.await.unwrap(), b"1");
        let (starts, shown): (Vec<_>, Vec<_>) = others.into_iter().unzip();
        drop(starts);
        for shown in shown {
            assert_eq!(&*shown.await.unwrap(), b"2");
        }
        // Whoever asks now is shown what is so now.
        let (start, last) = bench.ask().await;
        drop(start);
        assert_eq!(&*last.await.unwrap(), b"3");
        assert_eq!(bench.made.load(Ordering::Acquire), 3);
    }

    #[tokio::test]
    async fn whoever_leaves_hands_its_turn_on_when_its_page_is_made() {
        let bench = Bench::default();
        let (start, first) = bench.ask().await;
        bench.until_at_work().await;
        let (second_start, second) = bench.ask().await;
        drop(second_start);
        first.abort();
        assert!(first.await.is_err());
        let own = bench.pages.own(|| "own");
        tokio::pin!(own);
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut own).await.is_err());
        assert!(!second.is_finished(), "the first page is being made");
        drop(start);
        assert_eq!(&*second.await.unwrap(), b"2");
        assert_eq!(own.await.unwrap(), "own");
    }

    #[tokio::test]
    async fn a_page_that_fails_costs_its_own_readers_only() {
        let pages = Pages::default();
        assert!(pages.shared(|| panic!("no page")).await.is_err());
        assert!(pages.own(|| -> u8 { panic!("no page") }).await.is_err());
        assert_eq!(&*pages.shared(|| "page".to_owned()).await.unwrap(), b"page");
    }
}
