//! A message from the moment it is taken until each of its recipients has met its fate.

use alloc::{boxed::Box, collections::BTreeSet, vec::Vec};

use bytes::Bytes;

use super::{
    Call, Client, Extensions, Fate, Message, Report, State, Trouble,
    commands::{self, Body},
};
use crate::{
    CallId, Domain, ForwardPath, Now, limits,
    mime::{Converter, Findings, Parts, Plan, Survey, Unconvertible},
};

/// A message that was taken.
#[derive(Debug)]
pub(super) struct Delivery {
    message: Box<Message>,
    /// The recipients without a fate, by their places.
    pending: BTreeSet<usize>,
    /// What is not yet reported.
    fates: Vec<(usize, Fate)>,
    /// How the content is converted, if it must be.
    plan: Option<Plan>,
    /// Whether the content's headers are in UTF-8 for all that is known.
    utf8_headers: bool,
    dsn_passed_on: bool,
}

/// A message whose content is read to find out how it is converted.
#[derive(Debug)]
pub(super) struct Surveying {
    pub(super) delivery: Delivery,
    survey: Survey,
    position: u64,
    pub(super) reading: CallId,
}

impl Delivery {
    fn new(message: Message, peer: &Extensions) -> Self {
        Self {
            pending: (0..message.recipients.len()).collect(),
            fates: Vec::new(),
            plan: None,
            utf8_headers: message.smtputf8,
            dsn_passed_on: peer.dsn,
            message: Box::new(message),
        }
    }

    pub(super) fn message(&self) -> &Message {
        &self.message
    }

    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// The recipient meets its fate, unless it has met one.
    pub(super) fn settle(&mut self, place: usize, fate: Fate) {
        if self.pending.remove(&place) {
            self.fates.push((place, fate));
        }
    }

    /// All that have met none meet this one.
    pub(super) fn settle_rest(&mut self, fate: &Fate) {
        let rest = core::mem::take(&mut self.pending);
        let fates = rest.into_iter().map(|place| (place, fate.clone()));
        self.fates.extend(fates);
    }

    /// What is to be reported; it is not reported again.
    pub(super) fn take_report(&mut self) -> Report {
        Report {
            key: self.message.key,
            dsn_passed_on: self.dsn_passed_on,
            fates: core::mem::take(&mut self.fates),
        }
    }

    /// The last report, in which all that have met no fate meet this one.
    pub(super) fn into_report(mut self, fate: &Fate) -> Report {
        self.settle_rest(fate);
        self.take_report()
    }

    /// Where the next transaction goes: as many recipients, in as many domains, as the peer takes
    /// in one (RFC 9422 §4.2, §4.3).
    pub(super) fn next_places(&self, peer: &Extensions) -> Vec<usize> {
        let max = |max: Option<u32>| max.map_or(usize::MAX, |max| max as usize);
        let recipients_max = limits::SMTP_CLIENT_RECIPIENTS_MAX.min(max(peer.recipients_max));
        let domains_max = max(peer.recipient_domains_max);
        let mut domains: BTreeSet<Option<&Domain>> = BTreeSet::new();
        let mut places = Vec::new();
        for &place in &self.pending {
            let domain = match &self.message.recipients[place].path {
                ForwardPath::Postmaster => None,
                ForwardPath::Address(address) => Some(address.domain()),
            };
            domains.insert(domain);
            if domains.len() > domains_max || places.len() == recipients_max {
                break;
            }
            places.push(place);
        }
        places
    }

    /// What a transaction with these recipients says of the content.
    pub(super) fn body(&self, places: &[usize]) -> Body {
        let recipients = &self.message.recipients;
        let mut paths = places.iter().map(|&place| &recipients[place].path);
        let size_bytes = self.plan.as_ref().map(Plan::size_bytes);
        Body {
            size_bytes: size_bytes.unwrap_or(self.message.size_bytes),
            eight_bit: self.message.eight_bit && self.plan.is_none(),
            smtputf8: self.utf8_headers
                || self.has_utf8_sender()
                || paths.any(commands::needs_smtputf8),
        }
    }

    pub(super) fn converter(&self) -> Option<Converter> {
        self.plan.clone().map(Converter::new)
    }

    fn has_utf8_sender(&self) -> bool {
        let sender = self.message.reverse_path.address();
        sender.is_some_and(|address| !address.is_ascii())
    }

    /// Settles those whom this peer can't be asked for (RFC 6531 §3.2, RFC 1870 §6.1).
    fn settle_unfit(&mut self, peer: &Extensions) {
        let unsupported = Fate::Failed(Trouble::Smtputf8Unsupported);
        if !peer.smtputf8 {
            if self.has_utf8_sender() {
                self.settle_rest(&unsupported);
            }
            for place in 0..self.message.recipients.len() {
                if commands::needs_smtputf8(&self.message.recipients[place].path) {
                    self.settle(place, unsupported.clone());
                }
            }
        }
        self.settle_too_large(peer, self.message.size_bytes);
    }

    fn settle_too_large(&mut self, peer: &Extensions, size_bytes: u64) {
        if let Some(limit_bytes) = peer.message_bytes_max.filter(|max| size_bytes > *max) {
            self.settle_rest(&Fate::Failed(Trouble::TooLarge { limit_bytes }));
        }
    }

    /// Whether the content may be more than this peer takes as it is.
    fn needs_survey(&self, peer: &Extensions) -> bool {
        let converts = self.message.eight_bit && !peer.eight_bit_mime;
        let looks = self.message.smtputf8 && !peer.smtputf8;
        self.message.size_bytes > 0 && (converts || looks)
    }

    /// Takes what the survey found, or that there can be none.
    fn take_findings(&mut self, peer: &Extensions, findings: Option<Findings>) {
        let eight_bit_headers = findings.as_ref().is_none_or(|it| it.eight_bit_headers);
        if self.message.smtputf8 && !peer.smtputf8 && eight_bit_headers {
            return self.settle_rest(&Fate::Failed(Trouble::Smtputf8Unsupported));
        }
        self.utf8_headers &= peer.smtputf8;
        if peer.eight_bit_mime || !self.message.eight_bit {
            return;
        }
        let plan = findings.map_or(Err(Unconvertible::NoParts), |findings| findings.plan);
        match plan {
            Err(why) => self.settle_rest(&Fate::Failed(Trouble::NotConvertible(why))),
            Ok(plan) => {
                self.settle_too_large(peer, plan.size_bytes());
                self.plan = Some(plan);
            }
        }
    }
}

impl Client {
    pub(super) fn begin_delivery(&mut self, now: Now, message: Message) {
        let mut delivery = Delivery::new(message, &self.peer);
        delivery.settle_unfit(&self.peer);
        if delivery.is_settled() || !delivery.needs_survey(&self.peer) {
            return self.continue_delivery(now, delivery);
        }
        let Some(parts) = Parts::decode(&delivery.message.parts) else {
            delivery.take_findings(&self.peer, None);
            return self.continue_delivery(now, delivery);
        };
        let survey = Survey::new(&parts);
        self.read_on(now, delivery, survey, 0);
    }

    fn continue_delivery(&mut self, now: Now, mut delivery: Delivery) {
        let report = delivery.take_report();
        self.report(report);
        let next = (!delivery.is_settled()).then(|| Box::new(delivery));
        self.enter(now, State::Ready(next));
    }

    fn read_on(&mut self, now: Now, delivery: Delivery, survey: Survey, position: u64) {
        let left = delivery.message.size_bytes - position;
        let length = usize::try_from(left).unwrap_or(usize::MAX);
        let reading = self.call(Call::Read {
            offset: position,
            length: length.min(limits::READ_BYTES),
        });
        let surveying = Surveying {
            delivery,
            survey,
            position,
            reading,
        };
        self.enter(now, State::Surveying(Box::new(surveying)));
    }

    /// Takes a piece of the content that is looked through; none when it can't be read.
    pub(super) fn survey(&mut self, now: Now, surveying: Surveying, piece: Option<Bytes>) {
        let Surveying {
            mut delivery,
            mut survey,
            position,
            ..
        } = surveying;
        let Some(piece) = piece else {
            delivery.settle_rest(&Fate::Failed(Trouble::ContentUnavailable));
            return self.continue_delivery(now, delivery);
        };
        let size_bytes = delivery.message.size_bytes;
        let left = usize::try_from(size_bytes - position).unwrap_or(usize::MAX);
        let length = piece.len().min(left).min(limits::READ_BYTES);
        survey.handle_input(&piece[..length]);
        let position = position + length as u64;
        if position < size_bytes {
            return self.read_on(now, delivery, survey, position);
        }
        delivery.take_findings(&self.peer, Some(survey.finish()));
        self.continue_delivery(now, delivery);
    }
}
