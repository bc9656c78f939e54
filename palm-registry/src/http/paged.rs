//! Answers that may be longer than memory has room for: they are made a page at a time, as they are read.

use std::io;

use axum::body::Body;
use futures_util::StreamExt as _;
use futures_util::stream::{iter, try_unfold};

use crate::store::StoreError;

/// A text that is made a page at a time.
pub(super) trait Pages: Send + Sized + 'static {
    /// The next page; `None`: there is no more.
    ///
    /// # Errors
    /// If the store fails.
    fn next(&mut self) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// Whether who asks may still see it: it may take long to read.
    fn is_allowed(&mut self) -> impl Future<Output = bool> + Send;
}

/// A body with all pages. Its length is said if there is one page or two. If something fails later, the connection breaks, so that nobody
/// takes a part for the whole.
///
/// # Errors
/// If the store fails before there is anything to be sent.
pub(super) async fn body<P: Pages>(mut pages: P) -> Result<Body, StoreError> {
    let Some(mut first) = pages.next().await? else { return Ok(Body::empty()) };
    let Some(second) = pages.next().await? else { return Ok(first.into()) };
    first += &second;
    let Some(third) = pages.next().await? else { return Ok(first.into()) };
    let rest = try_unfold(pages, async |mut pages| {
        if !pages.is_allowed().await {
            return Err(io::Error::other("who asks may not see the rest any more"));
        }
        match pages.next().await {
            Ok(page) => Ok(page.map(|page| (page, pages))),
            Err(error) => {
                tracing::error!("an answer breaks off: {error}");
                Err(io::Error::other(error))
            }
        }
    });
    Ok(Body::from_stream(iter([Ok(first), Ok(third)]).chain(rest)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::HttpBody as _;

    use super::*;

    /// So many pages, of which those from one on may not be seen, or cannot be read.
    struct Numbers {
        count: usize,
        hidden: usize,
        broken: usize,
        made: Arc<AtomicUsize>,
    }

    impl Pages for Numbers {
        async fn next(&mut self) -> Result<Option<String>, StoreError> {
            let page = self.made.load(Ordering::SeqCst);
            if page >= self.broken {
                return Err(StoreError::Failed);
            }
            if page == self.count {
                return Ok(None);
            }
            self.made.fetch_add(1, Ordering::SeqCst);
            Ok(Some(page.to_string()))
        }

        async fn is_allowed(&mut self) -> bool {
            self.made.load(Ordering::SeqCst) < self.hidden
        }
    }

    fn numbers(count: usize) -> Numbers {
        Numbers { count, hidden: usize::MAX, broken: usize::MAX, made: Arc::default() }
    }

    /// What somebody has read when it ends, and whether that is all.
    async fn read(pages: Numbers) -> (String, bool) {
        let mut stream = body(pages).await.unwrap().into_data_stream();
        let mut text = String::new();
        while let Some(part) = stream.next().await {
            let Ok(part) = part else { return (text, false) };
            text += std::str::from_utf8(&part).unwrap();
        }
        (text, true)
    }

    #[tokio::test]
    async fn all_pages_come_and_who_gets_a_part_knows() {
        for (count, text) in [(0, ""), (1, "0"), (2, "01"), (3, "012"), (9, "012345678")] {
            assert_eq!(read(numbers(count)).await, (text.to_owned(), true));
        }
        assert_eq!(body(numbers(2)).await.unwrap().size_hint().exact(), Some(2), "a short answer says its length");
        assert_eq!(read(Numbers { hidden: 5, ..numbers(9) }).await, ("01234".to_owned(), false));
        assert_eq!(read(Numbers { broken: 6, ..numbers(9) }).await, ("012345".to_owned(), false));
        assert!(body(Numbers { broken: 1, ..numbers(9) }).await.is_err(), "nothing was said yet");
    }

    #[tokio::test]
    async fn no_page_is_made_before_it_is_read() {
        let pages = numbers(1000);
        let made = pages.made.clone();
        let mut stream = body(pages).await.unwrap().into_data_stream();
        for read in 1..500 {
            stream.next().await.unwrap().unwrap();
            assert!(made.load(Ordering::SeqCst) <= read + 3);
        }
    }
}
