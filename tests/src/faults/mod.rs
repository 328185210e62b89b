//! The fault suite: real processes on machines of their own (network namespaces), SIPp's callers, telephones that wait in
//! line, clients that write and read; then something breaks, is proved to have broken, and a checker compares what
//! everybody saw with what was written down. `docs/operations.md` is for people; this is for `make faults`.

pub mod cgroups;
pub mod delay;
pub mod history;
pub mod linear;
pub mod load;
pub mod machine;
pub mod net;
pub mod papers;
pub mod registers;
pub mod scenarios;
pub mod schedule;
pub mod site;
pub mod story;
