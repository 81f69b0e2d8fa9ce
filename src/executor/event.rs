//! What happens in a run, as values: the executor sends them, reporters show them, and neither knows
//! the other.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::diagnostic::Diagnostic;
use crate::jinja::port::TemplateMessage;
use crate::manifest::{ResourceType, UniqueId};

/// One event of a command.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run starts.
    RunStarted {
        /// How many nodes will run.
        total: usize,
        /// How many sessions run at once.
        threads: usize,
    },
    /// A node starts.
    NodeStarted {
        /// Which.
        node: Arc<NodeFacts>,
        /// Its place in the order of starts, from 1.
        index: usize,
        /// How many will run.
        total: usize,
    },
    /// A node has ended.
    NodeFinished {
        /// What came out.
        result: Arc<NodeResult>,
        /// Its place in the order of starts, from 1.
        index: usize,
        /// How many will run.
        total: usize,
    },
    /// A statement was sent to the database (for the log file).
    Statement {
        /// The node it belongs to.
        node: Option<UniqueId>,
        /// Its text.
        sql: String,
        /// How long it took, once known.
        elapsed: Duration,
    },
    /// A template spoke.
    Message {
        /// The node it belongs to.
        node: Option<UniqueId>,
        /// What it said.
        message: TemplateMessage,
    },
    /// A warning or an error that belongs to no node.
    Diagnostic(Arc<Diagnostic>),
    /// The user asked to stop.
    Cancelling,
    /// The run has ended.
    RunFinished {
        /// Every node's result, in the order in which they ended.
        results: Vec<Arc<NodeResult>>,
        /// How long it took.
        elapsed: Duration,
    },
}

/// What a reporter says of a node.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// Its identity.
    pub unique_id: UniqueId,
    /// What it is.
    pub resource_type: ResourceType,
    /// Its name.
    pub name: String,
    /// How it is built.
    pub materialization: String,
    /// Its relation as SQL writes it, where it has one.
    pub relation: Option<String>,
    /// Its relation in short (`schema.identifier`), where it has one.
    pub short_relation: Option<String>,
    /// The file that it stands in, below the package's root.
    pub path: String,
}

/// How a node ended, in dbt's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeStatus {
    /// Built.
    Success,
    /// It failed.
    Error,
    /// Something before it failed.
    Skipped,
    /// A test passed.
    Pass,
    /// A test failed.
    Fail,
    /// A test of severity warn failed.
    Warn,
    /// Nothing was to be done (an ephemeral model).
    NoOp,
}

impl NodeStatus {
    /// dbt's word in run_results.
    pub fn as_str(self) -> &'static str {
        match self {
            NodeStatus::Success => "success",
            NodeStatus::Error => "error",
            NodeStatus::Skipped => "skipped",
            NodeStatus::Pass => "pass",
            NodeStatus::Fail => "fail",
            NodeStatus::Warn => "warn",
            NodeStatus::NoOp => "no-op",
        }
    }

    /// Tells whether what reads the node must not run, and the exit code is 1.
    pub fn is_failure(self) -> bool {
        matches!(self, NodeStatus::Error | NodeStatus::Fail)
    }
}

/// The result of one node.
#[derive(Clone, Debug)]
pub struct NodeResult {
    /// Which.
    pub node: Arc<NodeFacts>,
    /// How it ended.
    pub status: NodeStatus,
    /// In words: the server's response, `Got 3 results, configured to fail if != 0`, the error's text.
    pub message: Option<String>,
    /// The error or warning, where there was one.
    pub diagnostic: Option<Arc<Diagnostic>>,
    /// How many rows a test found.
    pub failures: Option<i64>,
    /// Rows that the main statement changed, where known.
    pub rows_affected: Option<u64>,
    /// The response's code, such as `SELECT`.
    pub response_code: Option<String>,
    /// The server's query id.
    pub query_id: Option<String>,
    /// The compiled SQL; `None` where it was not compiled.
    pub compiled_code: Option<Arc<str>>,
    /// The file that the compiled SQL was written to, below the project's root.
    pub compiled_path: Option<String>,
    /// When compiling started and ended.
    pub compile: Option<(SystemTime, SystemTime)>,
    /// When running started and ended.
    pub execute: Option<(SystemTime, SystemTime)>,
    /// The thread's name, such as `Thread-1`.
    pub thread: String,
    /// From start to end.
    pub elapsed: Duration,
}
