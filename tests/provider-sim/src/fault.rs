//! What goes wrong, and when.

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status, with this body.
    Status(u16, String),
    /// 429, with `Retry-After` as it is.
    Throttled(String),
    /// A redirect to this address.
    Redirect(String),
    /// 200 with these bytes in place of a page.
    Body(String),
    /// The next cursor is this: an address, an old one, or none (`null`).
    Cursor(String),
    /// The first bucket of the page is left out.
    Gap,
    /// The connection closes in the middle of the page.
    Torn,
    /// Every request to it is answered so late.
    SlowMs(u64),
}

/// A fault of requests whose path ends so, a number of times, after some that go well.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) path: String,
    pub(crate) after: u32,
    pub(crate) times: u32,
    pub(crate) fault: Fault,
}

/// Takes the fault of a request out of the plan.
pub(crate) fn take(planned: &mut Vec<Planned>, path: &str) -> Option<Fault> {
    let at = planned.iter().position(|one| path.ends_with(&one.path))?;
    let one = planned.get_mut(at)?;
    if one.after > 0 {
        one.after -= 1;
        return None;
    }
    let fault = one.fault.clone();
    one.times -= 1;
    if one.times == 0 {
        planned.remove(at);
    }
    Some(fault)
}
