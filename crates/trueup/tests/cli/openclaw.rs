//! OpenClaw, through the command line: each case of its contract is a state folder that changes in
//! steps, and what reports must say after each, whatever the ledger has seen of the steps before.

mod built;
mod concurrent;
mod doctor;
mod expected;
mod folders;
mod hook;
mod store;
mod tree;
