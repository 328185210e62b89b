//! Stands before all services of a server and asks a table whether the caller's role may call the method. What the table
//! does not name, nobody may call. Looks at no message, and once per call, not per message.

use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use tonic::{
    Status,
    body::Body,
    codegen::http::{Request, Response},
};
use tower::{Layer, Service};

use crate::{
    door::Caller,
    identity::{Role, Roles},
};

/// Who may call a method, by its path: `/cordboard.v1.Admin/Apply`. None for one that is not known.
pub type Table = fn(&str) -> Option<Roles>;

/// Puts the guard before a server's services.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    table: Table,
}

impl Guard {
    /// By this table.
    #[must_use]
    pub const fn new(table: Table) -> Self {
        Self { table }
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { table: self.table, inner }
    }
}

/// Services behind a guard.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    table: Table,
    inner: S,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match check(self.table, request.uri().path(), request.extensions().get::<Caller>()) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(refusal) => Either::Right(ready(Ok(refusal.into_http()))),
        }
    }
}

fn check(table: Table, path: &str, caller: Option<&Caller>) -> Result<(), Status> {
    // Every connection of ours says who calls; one that does not is nobody's.
    let Some(caller) = caller else { return Err(Status::unauthenticated("nobody knows who asks")) };
    if !caller.asked {
        return Ok(());
    }
    let role = caller.role();
    let roles = table(path).unwrap_or(Roles::NONE);
    if roles.has(role) {
        return Ok(());
    }
    let method = path.rsplit_once('.').map_or(path, |(_, method)| method);
    let may: Vec<&str> = Role::ALL.into_iter().filter(|role| roles.has(*role)).map(Role::word).collect();
    match &caller.identity {
        None => {
            let words = "this cluster asks for a certificate of its own authority, and none was shown: give \
                         --cluster-ca, --cluster-certificate and --cluster-key";
            Err(Status::unauthenticated(words))
        }
        Some(identity) => {
            let name = &identity.name;
            tracing::warn!(name, %role, method, "refused: not a method of this role");
            let may = if may.is_empty() { "nobody".to_owned() } else { may.join(", ") };
            Err(Status::permission_denied(format!("{method} is for {may}; the certificate says that {name} is {role}")))
        }
    }
}
