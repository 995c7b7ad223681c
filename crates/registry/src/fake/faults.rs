//! What can go wrong at a [`FakeRegistry`](super::FakeRegistry), and when.

use std::time::Duration;

/// One thing that goes wrong, for some requests.
#[derive(Clone, Debug)]
pub struct Fault {
    method: String,
    part: String,
    skip: u32,
    times: u32,
    action: Action,
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Action {
    /// Answers so, without doing what was asked for.
    Respond {
        /// HTTP status.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// Body.
        body: String,
    },
    /// Answers so before the request's body has been read, and closes.
    RespondEarly {
        /// HTTP status.
        status: u16,
        /// Body.
        body: String,
    },
    /// Reads this much of the request's body, keeps it if it is part of an upload, and closes without an answer.
    CutRequest {
        /// Bytes read.
        after: usize,
    },
    /// Does what was asked for, and closes without an answer.
    SwallowResponse,
    /// Sends this much of the answer's body, and closes.
    CutResponse {
        /// Bytes sent.
        after: usize,
    },
    /// Sends half of the answer's body, then nothing for this long.
    Stall(Duration),
    /// Changes one byte of the answer's body.
    Garble,
    /// Sets headers of the answer; an empty value removes one.
    Headers(Vec<(String, String)>),
    /// Answers with this status instead of the right one, having done what was asked for.
    Status(u16),
    /// Forgets all tokens first.
    ExpireTokens,
}

impl Fault {
    /// For requests with `method` (any if empty) whose path and query contain `part`; once, a status of 500 unless
    /// something else is said.
    pub fn on(method: &str, part: &str) -> Self {
        let action = Action::Respond { status: 500, headers: Vec::new(), body: String::new() };
        Self { method: method.to_owned(), part: part.to_owned(), skip: 0, times: 1, action }
    }

    /// What happens.
    pub fn act(mut self, action: Action) -> Self {
        self.action = action;
        self
    }

    /// A plain status with a body.
    pub fn respond(self, status: u16, body: &str) -> Self {
        self.act(Action::Respond { status, headers: Vec::new(), body: body.to_owned() })
    }

    /// A status with headers.
    pub fn respond_with(self, status: u16, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.act(Action::Respond { status, headers, body: String::new() })
    }

    /// Headers of the answer set.
    pub fn headers(self, headers: &[(&str, &str)]) -> Self {
        self.act(Action::Headers(headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()))
    }

    /// How often.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Not the first `skip` times.
    pub fn skip(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// The action, if it is this request's turn.
    pub(super) fn strike(&mut self, method: &str, target: &str) -> Option<Action> {
        let fits = (self.method.is_empty() || self.method == method) && target.contains(&self.part);
        if !fits || self.times == 0 {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.action.clone())
    }
}
