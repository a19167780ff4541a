//! The list of routing rules, as the kernel answers.

use super::{
    super::netlink::{self, GARBLED, Of, Progress, Refusal},
    message::NEW_RULE,
    rule::Rule,
};

/// Hosts with rules for each container have thousands.
const MOST_RULES: usize = 65_536;

/// Asks for a list of rules.
pub(super) fn rules(question: &[u8]) -> Result<Vec<Rule>, Refusal> {
    let rules = std::cell::RefCell::new(Vec::new());
    let begin = || rules.borrow_mut().clear();
    netlink::list(Of::Route, question, begin, |piece| {
        take(piece, &mut rules.borrow_mut())
    })?;
    Ok(rules.into_inner())
}

/// Takes the rules out of a piece of the answer.
pub(super) fn take(piece: &[u8], rules: &mut Vec<Rule>) -> Result<Progress, Refusal> {
    netlink::take(piece, |kind, body| {
        if kind == NEW_RULE {
            rules.push(Rule::parse(body).ok_or(GARBLED)?);
        }
        // No shortage that anybody can bring about: each rule took CAP_NET_ADMIN over the host's network.
        if rules.len() > MOST_RULES {
            return Err(Refusal::Answer("there are too many rules"));
        }
        Ok(())
    })
}
