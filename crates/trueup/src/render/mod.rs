//! Reports as text: tables for people, JSON and CSV for programs.

pub(crate) mod budget;
pub(crate) mod ccusage;
pub(crate) mod csv;
pub(crate) mod form;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod number;
pub(crate) mod parity;
pub(crate) mod table;
pub(crate) mod terminal;
pub(crate) mod wrap;
