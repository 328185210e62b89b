//! What is said when something cannot be done: why, and where to look.

use proto::v1::{Rejection, RejectionCode};
use tonic::Status;

use crate::shards::Unreached;

pub(super) fn missing(what: &str, name: &str, list: &str) -> Status {
    Status::not_found(format!("there is no {what} {name:?}; `cordctl {list}` shows what there is"))
}

pub(super) fn unreached(error: &Unreached) -> Status {
    Status::unavailable(format!("{error}; `cordctl shard list` shows who leads"))
}

pub(super) fn refused(rejection: &Rejection) -> Status {
    let detail = rejection.detail.clone();
    match rejection.code() {
        RejectionCode::UnknownCall
        | RejectionCode::UnknownLeg
        | RejectionCode::UnknownAgent
        | RejectionCode::UnknownNumber
        | RejectionCode::UnknownGateway => Status::not_found(detail),
        RejectionCode::LimitReached => Status::resource_exhausted(detail),
        RejectionCode::Invalid => Status::invalid_argument(detail),
        RejectionCode::Stale => Status::aborted(detail),
        RejectionCode::WrongState | RejectionCode::Unspecified => Status::failed_precondition(detail),
    }
}
