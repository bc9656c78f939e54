//! A worker's functions, and calling them so that a panic is no more than a failure.

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use palm_proto::Status;

use super::call::{Call, Results};
use super::pool::Answer;

/// A worker's functions: by name, and by a number that is looked up once for many tasks.
#[derive(Default)]
pub(super) struct Functions {
    numbers: HashMap<String, usize>,
    all: Vec<Function>,
}

impl Functions {
    /// Adds a function, in place of one of the same name.
    pub(super) fn insert(&mut self, name: String, function: Function) {
        self.numbers.insert(name, self.all.len());
        self.all.push(function);
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.numbers.keys()
    }

    pub(super) fn number_of(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    pub(super) fn by_number(&self, number: usize) -> Option<&Function> {
        self.all.get(number)
    }
}

/// How a function runs.
pub(super) enum Function {
    /// On one of the worker's threads.
    Pooled(Box<dyn Fn(Call) -> End + Send + Sync>),
    /// In the thread that has the connection, between receiving one task and the next.
    Inline(Box<dyn Fn(Call) -> End + Send + Sync>),
}

/// What a call ends with.
pub(super) type End = Result<Bytes, String>;

impl Function {
    pub(super) fn pooled<F, T, E>(function: F) -> Self
    where
        F: Fn(Call) -> Result<T, E> + Send + Sync + 'static,
        T: Into<Bytes>,
        E: Display,
    {
        Self::Pooled(Box::new(move |call| end(function(call))))
    }

    pub(super) fn inline<F, T, E>(function: F) -> Self
    where
        F: Fn(Call) -> Result<T, E> + Send + Sync + 'static,
        T: Into<Bytes>,
        E: Display,
    {
        Self::Inline(Box::new(move |call| end(function(call))))
    }

    pub(super) fn yielding<F, T, E>(function: F) -> Self
    where
        F: Fn(Call, Results) -> Result<T, E> + Send + Sync + 'static,
        T: Into<Bytes>,
        E: Display,
    {
        Self::Pooled(Box::new(move |call| {
            let results = Results { id: call.task.id, shared: Arc::clone(&call.shared) };
            end(function(call, results))
        }))
    }

    /// Calls it.
    pub(super) fn call(&self, call: Call) -> Answer {
        let id = call.task.id;
        let (Self::Pooled(function) | Self::Inline(function)) = self;
        match catch_unwind(AssertUnwindSafe(|| function(call))) {
            Ok(Ok(result)) => Answer::Done(id, result),
            Ok(Err(text)) => Answer::Failed(id, Status::Failed, text),
            Err(panic) => Answer::Failed(id, Status::Failed, panicked(&*panic)),
        }
    }
}

fn end<T: Into<Bytes>, E: Display>(result: Result<T, E>) -> End {
    result.map(Into::into).map_err(|error| error.to_string())
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the function panicked: {}", text.unwrap_or("no text"))
}
