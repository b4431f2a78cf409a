//! The listener, and what tests steer it by.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fault::{Fault, Planned, take};
use crate::http::{Answer, Request, send};
use crate::openai::{cursor, unmarked};
use crate::world::{Plan, Told, Truth, World};
use crate::{openai, others};

/// The key that may read everything.
pub const KEY: &str = "sk-admin-sim-s3cret";
/// A key that is known, and may read nothing.
pub const KEY_WITHOUT_SCOPE: &str = "sk-admin-sim-noscope";

/// A running stand-in; it ends with the process.
#[derive(Debug, Clone)]
pub struct Sim {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    world: World,
    planned: Vec<Planned>,
    requests: Vec<String>,
}

impl Sim {
    /// Starts one on a port that is free.
    ///
    /// # Errors
    /// Where the system has no port or thread to give.
    pub fn start(plan: Plan) -> std::io::Result<Self> {
        Self::start_at(plan, 0)
    }

    /// Starts one on this port.
    ///
    /// # Errors
    /// Where the system has no such port, or no thread to give.
    pub fn start_at(plan: Plan, port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let state = State { world: World::new(plan), planned: Vec::new(), requests: Vec::new() };
        let sim = Self { address: listener.local_addr()?, state: Arc::new(Mutex::new(state)) };
        let serving = sim.clone();
        std::thread::Builder::new().name("sim".into()).spawn(move || serving.serve(&listener))?;
        Ok(sim)
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Time goes on: late usage arrives, then corrections are made.
    pub fn advance(&self) {
        self.lock().world.stage += 1;
    }

    /// Requests whose path ends so go wrong, so many times, after some that go well.
    pub fn fail(&self, path: &str, after: u32, times: u32, fault: Fault) {
        self.lock().planned.push(Planned { path: path.to_owned(), after, times, fault });
    }

    /// Nothing goes wrong any more.
    pub fn mend(&self) {
        self.lock().planned.clear();
    }

    /// From now on these dimensions are refused.
    pub fn refuse(&self, dims: &[&'static str]) {
        self.lock().world.plan.refused_dims = dims.to_vec();
    }

    /// The truth about the days in `from_s..until_s`, as it is told at this time.
    #[must_use]
    pub fn truth(&self, from_s: i64, until_s: i64) -> Truth {
        self.lock().world.truth(from_s, until_s)
    }

    /// Every row as it is told at this time, when everything is told apart.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        self.lock().world.rows()
    }

    /// What was asked so far: paths with queries.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            let sim = self.clone();
            let answer = move || sim.answer(stream);
            // Without a thread it is not answered, which is an answer, too.
            drop(std::thread::Builder::new().name("sim answer".into()).spawn(answer));
        }
    }

    fn answer(&self, mut stream: TcpStream) {
        let Some(request) = Request::read(&stream) else { return };
        let (answer, fault) = {
            let mut state = self.lock();
            state.requests.push(request.target.clone());
            let path = request.path.clone();
            let fault = take(&mut state.planned, &path);
            (respond(&state.world, &state.requests, &request), fault)
        };
        let answer = finished(answer, &request);
        let answer = match fault {
            Some(fault) => broken(answer, fault),
            None => answer,
        };
        send(&mut stream, &answer);
    }
}

/// Puts cursors in the place of the numbers of the next page, and numbers in that of marked texts.
fn finished(mut answer: Answer, request: &Request) -> Answer {
    if let Some((_, after)) = answer.body.split_once("\"next_page\":") {
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        if let Ok(offset) = digits.parse() {
            let next = format!("\"next_page\":\"{}\"", cursor(request, offset));
            answer.body = answer.body.replace(&format!("\"next_page\":{digits}"), &next);
        }
    }
    answer.body = unmarked(&answer.body);
    answer
}

fn broken(mut answer: Answer, fault: Fault) -> Answer {
    match fault {
        Fault::Status(status, body) => Answer::new(status, body),
        Fault::Throttled(after) => Answer {
            headers: vec![("retry-after", after)],
            ..Answer::error(429, "Rate limit reached")
        },
        Fault::Redirect(to) => Answer { headers: vec![("location", to)], ..Answer::new(302, "{}") },
        Fault::Body(body) => Answer::new(200, body),
        Fault::Cursor(next) => {
            if let Ok(mut page) = serde_json::from_str::<serde_json::Value>(&answer.body) {
                page["has_more"] = true.into();
                page["next_page"] =
                    if next == "null" { serde_json::Value::Null } else { next.into() };
                answer.body = page.to_string();
            }
            answer
        }
        Fault::Gap => {
            if let Ok(mut page) = serde_json::from_str::<serde_json::Value>(&answer.body) {
                if let Some(data) = page["data"].as_array_mut() {
                    data.drain(..1.min(data.len()));
                }
                answer.body = page.to_string();
            }
            answer
        }
        Fault::Torn => Answer { is_torn: true, ..answer },
        Fault::SlowMs(ms) => {
            std::thread::park_timeout(Duration::from_millis(ms));
            answer
        }
    }
}

fn respond(world: &World, requests: &[String], request: &Request) -> Answer {
    let path = request.path.strip_prefix("/v1").unwrap_or(&request.path);
    if path == "/_requests" {
        return Answer::new(200, serde_json::json!(requests).to_string());
    }
    if path == "/_truth" {
        return truth(world, request);
    }
    if let Some(refused) = unauthorized(request) {
        return refused;
    }
    if let Some(family) = path.strip_prefix("/organization/usage/") {
        return openai::answer(world, request, family);
    }
    if path == "/organization/projects" || path.starts_with("/organization/projects/") {
        return openai::names(request, path);
    }
    match path {
        "/organization/costs" => openai::answer(world, request, "costs"),
        "/organizations/usage_report/messages" => others::anthropic(world, request, false),
        "/organizations/cost_report" => others::anthropic(world, request, true),
        "/organizations/usage_report/claude_code" if world.plan.has_analytics => {
            others::claude_code(world, request)
        }
        "/organizations/analytics/usage" if world.plan.has_analytics => {
            others::analytics(world, request, false)
        }
        "/organizations/analytics/cost" if world.plan.has_analytics => {
            others::analytics(world, request, true)
        }
        "/activity" => others::openrouter(world, request),
        "/user/daily/activity/aggregated" => others::litellm(world, request),
        _ => Answer::error(404, "Not found"),
    }
}

fn unauthorized(request: &Request) -> Option<Answer> {
    let bearer = request.header("authorization").strip_prefix("Bearer ");
    match bearer.unwrap_or_else(|| request.header("x-api-key")) {
        KEY => None,
        KEY_WITHOUT_SCOPE => Some(Answer::error(
            403,
            "You have insufficient permissions for this operation. Missing scopes: api.usage.read.",
        )),
        key => Some(Answer::error(401, &format!("Incorrect API key provided: {key}."))),
    }
}

/// `GET /_truth?from=…&until=…`, for provers that are not in Rust.
fn truth(world: &World, request: &Request) -> Answer {
    let number =
        |name: &str, or: i64| request.value(name).and_then(|text| text.parse().ok()).unwrap_or(or);
    let Truth { rows, uncached, cached, written, output, requests, cost } =
        world.truth(number("from", 0), number("until", i64::MAX));
    let truth = serde_json::json!({
        "rows": rows, "uncached": uncached, "cached": cached, "written": written,
        "output": output, "requests": requests, "cost": cost,
    });
    Answer::new(200, truth.to_string())
}
