//! The record of one session's decisions while it runs. Promise: a session in which nothing was asked costs a few words, and what is recorded is
//! handed over without waiting; what does not fit into the history's queue is dropped and counted there.

use postern_mail::envelope::UnixMillis;
use postern_mail::fact::{Answer, ClientFacts};
use postern_mail::{HeloName, MessageId, Reply, SessionId, Verdict};
use postern_policy::record::{Asked, Recorder};
use postern_state::history::trails::Trail;

use crate::wire::{Live, Server, clock};

/// What a session knows of itself for its record.
pub(crate) struct SessionTrail {
    /// Its name.
    pub id: SessionId,
    began: UnixMillis,
    helo: Option<HeloName>,
    recorder: Option<Box<Recorder>>,
    bytes_max: usize,
}

impl SessionTrail {
    /// For a session that begins now.
    pub(crate) fn begin(server: &Server, live: &Live) -> Self {
        let began = clock();
        let bytes_max = if server.history.keeps_trails() { live.config.history.trail_size_max.0 } else { 0 };
        Self {
            id: server.session_ids.next(began),
            began,
            helo: None,
            recorder: None,
            bytes_max: usize::try_from(bytes_max).unwrap_or(0),
        }
    }

    /// Kept until something else is worth writing down; most connections come to nothing.
    pub(crate) fn hello(&mut self, name: HeloName) {
        match &mut self.recorder {
            Some(recorder) => recorder.hello(clock(), &name),
            None => self.helo = Some(name),
        }
    }

    fn write(&mut self, client: &ClientFacts, write: impl FnOnce(&mut Recorder, UnixMillis)) {
        if self.bytes_max == 0 {
            return;
        }
        let Self { id, began, helo, recorder, bytes_max } = self;
        let recorder = recorder.get_or_insert_with(|| Box::new(Recorder::new(*id, *began, client, *bytes_max)));
        let now = clock();
        if let Some(name) = helo.take() {
            recorder.hello(now, &name);
        }
        write(recorder, now);
    }

    /// Rules ran.
    pub(crate) fn judged(&mut self, client: &ClientFacts, asked: Asked<'_>, verdict: &Verdict) {
        self.write(client, |recorder, now| recorder.judged(now, asked, verdict));
    }

    /// Something was refused without asking a rule.
    pub(crate) fn told(&mut self, client: &ClientFacts, at: &str, reply: &Reply, because: &str) {
        self.write(client, |recorder, now| recorder.told(now, at, reply, because));
    }

    /// A log-in came to an end.
    pub(crate) fn login(&mut self, client: &ClientFacts, user: Option<&str>, result: &str) {
        self.write(client, |recorder, now| recorder.login(now, user, result));
    }

    /// A message was taken: what led to it goes to the history.
    pub(crate) fn accepted(&mut self, server: &Server, client: &ClientFacts, id: MessageId) {
        self.write(client, |recorder, now| recorder.accepted(now, id));
        self.hand_over(server, Some(id));
    }

    /// What is left goes to the history.
    pub(crate) fn end(&mut self, server: &Server) {
        self.hand_over(server, None);
    }

    fn hand_over(&mut self, server: &Server, message: Option<MessageId>) {
        if let Some(recorder) = self.recorder.as_mut().filter(|recorder| !recorder.is_empty()) {
            server.history.record_trail(clock(), Trail { session: self.id, message, bytes: recorder.take() });
        }
    }

    /// A refusal with the reference by which the refused can ask.
    pub(crate) fn referenced(&self, answer: Answer) -> Answer {
        match answer {
            Answer::Refuse(reply) => Answer::Refuse(reply.with_reference(self.id)),
            Answer::Hangup(reply) => Answer::Hangup(reply.with_reference(self.id)),
            Answer::Denied(_) => Answer::Denied(Some(self.id)),
            other => other,
        }
    }
}
