//! Ends the answer of a call when its caller's credential ends, however long the stream would still last. Knows no
//! credential.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::HttpBody;
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

use crate::api::{Error, status};

/// Resolves with the reason.
pub(super) type End = Pin<Box<dyn Future<Output = Error> + Send>>;

/// The answer, which lasts until `end` at most.
pub(super) fn until(end: End, response: Response<Body>) -> Response<Body> {
    response.map(|body| Body::new(Cut { body: Some(body), end }))
}

struct Cut {
    /// Dropped when it is cut: the service behind it ends then.
    body: Option<Body>,
    end: End,
}

impl HttpBody for Cut {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if let Poll::Ready(error) = this.end.as_mut().poll(cx) {
            this.body = None;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers(&error)))));
        }
        Pin::new(body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

fn trailers(error: &Error) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // What cannot be said in a header is left out; the code always can.
    let _ = status::to_status(error).add_header(&mut trailers);
    trailers
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::auth;

    struct Endless;

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Pending
        }
    }

    async fn next(body: &mut Body) -> Option<Frame<Bytes>> {
        std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await.map(Result::unwrap)
    }

    #[tokio::test]
    async fn a_stream_ends_with_the_reason_when_its_credential_does() {
        let (end, ended) = oneshot::channel::<()>();
        let waits = Box::pin(async move {
            ended.await.unwrap();
            auth::Error::Expired(auth::Method::Token).into()
        });
        let mut body = until(waits, Response::new(Body::new(Endless))).into_body();
        assert!(futures_util::poll!(Box::pin(next(&mut body))).is_pending());
        end.send(()).unwrap();
        let trailers = next(&mut body).await.unwrap().into_trailers().unwrap();
        assert_eq!(trailers.get("grpc-status").unwrap(), "16");
        assert!(next(&mut body).await.is_none(), "nothing comes after the end");
    }

    #[tokio::test]
    async fn a_stream_that_ends_by_itself_says_what_it_said() {
        let body = Body::new("all".to_owned());
        let mut body = until(Box::pin(std::future::pending()), Response::new(body)).into_body();
        assert_eq!(next(&mut body).await.unwrap().into_data().unwrap(), "all");
        assert!(next(&mut body).await.is_none());
    }
}
