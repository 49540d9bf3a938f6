//! One call over many attempts: which server, how long, again or not. Knows no method.

use std::{sync::Arc, time::Duration};

use boss_base::backoff::Backoff;
use tonic::{Request, Response, Status, transport::Channel};

use crate::{
    Deadlines, Error,
    client::Shared,
    error::{Detail, Failed},
    servers::Picked,
};

/// After a whole round of servers has failed, the next round waits this long at first.
pub(crate) const ROUND_DELAY_MIN: Duration = Duration::from_millis(20);
/// And this long at last: an election takes less.
pub(crate) const ROUND_DELAY_MAX: Duration = Duration::from_millis(500);

/// What the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One message: servers may stop working on it when its time is over.
    Message,
    /// A stream: only its opening has a deadline.
    Stream,
}

/// A call that gave nothing.
#[derive(Debug)]
pub(crate) struct CallFailed {
    pub(crate) error: Error,
    /// Some attempt may have been done.
    pub(crate) lost: bool,
}

/// One call.
pub(crate) struct Call<'a> {
    shared: &'a Arc<Shared>,
    deadlines: Deadlines,
    answer: Answer,
    progress: Progress,
}

/// What is known after some attempts.
struct Progress {
    backoff: Backoff,
    failures: usize,
    /// In a row: when it is all servers, waiting will not help.
    untrusted: usize,
    lost: bool,
    renewed: bool,
    last: Option<Detail>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, deadlines: Deadlines, answer: Answer) -> Self {
        let progress = Progress {
            backoff: Backoff::new(ROUND_DELAY_MIN, ROUND_DELAY_MAX),
            failures: 0,
            untrusted: 0,
            lost: false,
            renewed: false,
            last: None,
        };
        Self { shared, deadlines, answer, progress }
    }

    /// Sends `message` until some server answers or time is over. Writes carry their request id in the message,
    /// so that it is the same in each attempt.
    pub(crate) async fn run<M, R, F, Fut>(mut self, message: M, send: F) -> Result<R, CallFailed>
    where
        M: Clone,
        F: Fn(Channel, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        let overall = self.deadlines.overall;
        // Boxed: a tonic call is some 20 KiB of state, which would be part of every caller's own future.
        match tokio::time::timeout(overall, Box::pin(self.attempts(&message, &send))).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(CallFailed { error, lost: self.progress.lost }),
            Err(_elapsed) => Err(self.progress.into_failure(overall)),
        }
    }

    async fn attempts<M, R, F, Fut>(&mut self, message: &M, send: &F) -> Result<R, Error>
    where
        M: Clone,
        F: Fn(Channel, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        loop {
            let picked = self.shared.servers.pick();
            let failed = match self.attempt(&picked, message.clone(), send).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let delay = self.handle_failure(&picked, failed)?;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
        }
    }

    async fn attempt<M, R, F, Fut>(&mut self, picked: &Picked, message: M, send: &F) -> Result<R, Failed>
    where
        F: Fn(Channel, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        let mut request = Request::new(message);
        self.shared.shown.sign(&mut request);
        if self.answer == Answer::Message {
            request.set_timeout(self.deadlines.attempt);
        }
        // Set before the wait: when the overall deadline cuts it off, the request may have been sent.
        let lost_before = std::mem::replace(&mut self.progress.lost, true);
        let answer = tokio::time::timeout(self.deadlines.attempt, send(picked.channel(), request)).await;
        let failed = match answer {
            Ok(Ok(answer)) => {
                self.shared.retries.earn();
                self.shared.warn_of(answer.metadata());
                return Ok(answer.into_inner());
            }
            Ok(Err(status)) => picked.judge(&status),
            Err(_elapsed) => {
                let waited = self.deadlines.attempt;
                Failed::Lost(Detail::new(format!("{} did not answer within {waited:?}", picked.address())))
            }
        };
        self.progress.lost = lost_before || matches!(failed, Failed::Lost(_));
        Err(failed)
    }

    /// How long to wait before the next attempt; an error when there should be none.
    fn handle_failure(&mut self, picked: &Picked, failed: Failed) -> Result<Duration, Error> {
        let progress = &mut self.progress;
        progress.last = Some(failed.detail().clone());
        match failed {
            Failed::Refused { error: Error::Unauthenticated(detail), .. } => {
                // Only once: a newer token that is refused too will not get better.
                if std::mem::replace(&mut progress.renewed, true) || !self.shared.shown.renew() {
                    return Err(Error::Unauthenticated(detail));
                }
                return Ok(Duration::ZERO);
            }
            Failed::Refused { error, retry: false, .. } => return Err(error),
            Failed::Refused { error: error @ Error::Overloaded(_), after, .. } => {
                return self.wait_out_overload(picked, error, after);
            }
            Failed::NotReached { detail, untrusted: true } => {
                progress.untrusted += 1;
                if progress.untrusted >= self.shared.servers.len() {
                    return Err(Error::Untrusted(detail));
                }
            }
            Failed::Refused { .. } | Failed::NotReached { .. } | Failed::Lost(_) => progress.untrusted = 0,
        }
        tracing::debug!(server = %picked.address(), problem = ?progress.last, "attempt failed, trying another server");
        self.shared.servers.leave(picked);
        progress.failures += 1;
        let round_is_over = progress.failures.is_multiple_of(self.shared.servers.len());
        if round_is_over {
            self.shared.trouble.notify_one();
        }
        Ok(if round_is_over { progress.backoff.next_delay(&*self.shared.clock) } else { Duration::ZERO })
    }

    /// An overloaded server knows best when it has room. Who is told no moment asks another server, as for any refusal;
    /// and nobody asks again for ever, because that is what overloads are made of.
    fn wait_out_overload(&mut self, picked: &Picked, error: Error, after: Duration) -> Result<Duration, Error> {
        if !self.shared.retries.spend() {
            return Err(error);
        }
        let own = self.progress.backoff.next_delay(&*self.shared.clock);
        if after.is_zero() {
            self.shared.servers.leave(picked);
            return Ok(own);
        }
        // Those who were refused together must not come back together.
        let spread = u64::try_from(after.as_micros() / 2).unwrap_or(u64::MAX).max(1);
        Ok(own.max(after + Duration::from_micros(self.shared.clock.random_u64() % spread)))
    }
}

impl Progress {
    fn into_failure(self, waited: Duration) -> CallFailed {
        let mut detail = self.last.unwrap_or_default();
        detail.message = match detail.message.as_str() {
            "" => format!("no server answered within {waited:?}"),
            message => format!("no server could answer within {waited:?}; the last problem: {message}"),
        };
        let error = if self.lost { Error::Timeout(detail) } else { Error::Unavailable(detail) };
        CallFailed { error, lost: self.lost }
    }
}
