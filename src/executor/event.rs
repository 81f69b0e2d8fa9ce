//! What happens in a run, as values: the executor sends them, reporters show them, and neither knows
//! the other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::diagnostic::Diagnostic;
use crate::dialect::Dialect;
use crate::jinja::port::TemplateMessage;
use crate::manifest::{Node, ResourceType, UniqueId, ods};
use crate::microbatch::BatchResults;
use crate::secrets::Redactor;

/// One event of a command.
#[derive(Clone, Debug)]
pub enum Event {
    /// The command starts.
    CommandStarted {
        /// The command as it was typed, without the program's name.
        command: String,
    },
    /// Where the log file lies, once the project has said it; until then its lines wait.
    LogFile(PathBuf),
    /// What must be masked from now on, such as the profile's password.
    Secrets(Redactor),
    /// The project was parsed.
    Found {
        /// How many of each kind, in words, such as `5 models, 1 seed`.
        stats: String,
    },
    /// The run starts.
    RunStarted {
        /// The target's name.
        target: String,
        /// How many nodes will run.
        total: usize,
        /// How many sessions run at once.
        threads: usize,
        /// How many partitions the engine is going to build, by node, as far as is known.
        partitions: Vec<(UniqueId, usize)>,
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
    /// A node had nothing to do.
    NodeFresh {
        /// Which.
        node: UniqueId,
    },
    /// A batch of a microbatch model, or of partitions, starts.
    BatchStarted {
        /// Which.
        batch: Arc<BatchFacts>,
    },
    /// A batch of a microbatch model, or of partitions, has ended.
    BatchFinished {
        /// Which.
        batch: Arc<BatchFacts>,
        /// What came out of it.
        result: Arc<NodeResult>,
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
    /// The command cannot go on; the exit code will be 2.
    Fatal(Vec<Arc<Diagnostic>>),
    /// What the command was asked to print.
    Output(Output),
    /// What the user should know of the set-up, without anything being wrong.
    Note(String),
    /// What to try next, for people at a terminal.
    Hint(String),
    /// An artifact was written.
    ArtifactWritten {
        /// dbt's word for it, such as `manifest`.
        kind: &'static str,
        /// The file, below the project's root.
        path: String,
    },
    /// The user asked to stop.
    Cancelling,
    /// The run has ended.
    RunFinished {
        /// Every node's result, in the order in which they ended.
        results: Vec<Arc<NodeResult>>,
        /// How long it took.
        elapsed: Duration,
        /// Whether the user stopped it.
        cancelled: bool,
    },
    /// The command has ended.
    CommandFinished {
        /// As in [`Event::CommandStarted`].
        command: String,
        /// Whether the exit code will be 0.
        success: bool,
        /// How long it took.
        elapsed: Duration,
    },
}

/// What a command was asked to print: shown also with `--quiet`.
#[derive(Clone, Debug)]
pub enum Output {
    /// A line of `ls`.
    Line(String),
    /// The rows of `show`, already laid out.
    Preview {
        /// The node; `None` for inline SQL.
        node: Option<String>,
        /// The table or the JSON.
        text: String,
        /// Whether it is JSON, which is printed without a title.
        json: bool,
    },
    /// The compiled SQL of `compile`.
    Compiled {
        /// The node; `None` for inline SQL.
        node: Option<String>,
        /// The SQL, or JSON.
        text: String,
        /// Whether it is JSON, which is printed without a title.
        json: bool,
    },
    /// Any other text, such as the checks of `debug`.
    Text(String),
}

/// What a reporter says of a batch.
#[derive(Clone, Debug)]
pub struct BatchFacts {
    /// The model.
    pub node: Arc<NodeFacts>,
    /// The batch's name, such as `2026-11-01`.
    pub label: String,
    /// Its place among the model's batches, from 1.
    pub index: usize,
    /// How many batches the model has.
    pub total: usize,
    /// The partitions that it builds, where the engine does.
    pub parts: Option<PartFacts>,
}

/// What a reporter says of the partitions of a batch; `index` and `total` then count partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartFacts {
    /// How long one is (`day`); `None` where there is only one, of a relation without partitions.
    pub unit: Option<&'static str>,
    /// How many the batch was to build.
    pub count: usize,
    /// Those that were published.
    pub built: usize,
    /// Those that a test refused.
    pub refused: usize,
    /// Those that failed otherwise.
    pub failed: usize,
    /// The rows that were published.
    pub rows: u64,
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
    /// Whether it is built in dbt's batches.
    pub microbatch: bool,
    /// Whether the engine follows it.
    pub followed: bool,
    /// Its relation as SQL writes it, where it has one; of a test, where its failures are stored.
    pub relation: Option<String>,
    /// Its relation in short (`schema.identifier`), where it has one.
    pub short_relation: Option<String>,
    /// The file that it stands in, below the package's root.
    pub path: String,
    /// Its database, where it is named.
    pub database: String,
    /// Its schema.
    pub schema: String,
    /// The identifier of its relation.
    pub alias: String,
    /// The node that a test is attached to.
    pub attached_to: Option<UniqueId>,
}

impl NodeFacts {
    /// Gathers the facts of a node.
    pub fn new(node: &Node, dialect: &Dialect) -> NodeFacts {
        let has_relation = match node.resource_type {
            ResourceType::Model => !node.is_ephemeral(),
            ResourceType::Seed | ResourceType::Source => true,
            ResourceType::Test => node.stores_failures(),
            _ => false,
        };
        let schema = node.relation.schema.as_deref().unwrap_or_default();
        NodeFacts {
            unique_id: node.unique_id.clone(),
            resource_type: node.resource_type,
            name: node.name.clone(),
            materialization: node.materialization().to_owned(),
            microbatch: node.microbatch.is_some(),
            followed: node.upkeep.is_managed(),
            relation: has_relation.then(|| node.relation.render(dialect)),
            short_relation: has_relation.then(|| format!("{schema}.{}", node.alias)),
            path: node.original_path.clone(),
            database: node
                .relation
                .database
                .as_deref()
                .unwrap_or_default()
                .to_owned(),
            schema: schema.to_owned(),
            alias: node.alias.clone(),
            attached_to: node.test.as_ref().and_then(|test| test.attached_to.clone()),
        }
    }
}

impl NodeFacts {
    /// What run results say of a failure, in dbt's words:
    /// `Database Error in model orders (models/orders.sql)`, and the message below.
    pub fn failure(&self, diagnostic: &Diagnostic) -> String {
        let kind = diagnostic.code.kind();
        let (resource, name, path) = (self.resource_type.as_str(), &self.name, &self.path);
        let mut text = format!("{kind} in {resource} {name} ({path})");
        let lines = diagnostic.message.lines();
        for line in lines.chain(diagnostic.notes.iter().flat_map(|note| note.lines())) {
            text.push_str("\n  ");
            text.push_str(line);
        }
        text
    }
}

/// How a node ended, in dbt's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeStatus {
    /// Built.
    Success,
    /// Some of its batches were built.
    PartialSuccess,
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
            NodeStatus::PartialSuccess => "partial success",
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
        matches!(
            self,
            NodeStatus::Error | NodeStatus::Fail | NodeStatus::PartialSuccess
        )
    }
}

impl NodeResult {
    /// Tells whether what reads the node must not run.
    ///
    /// A table of the ODS that has refused a batch is whole: it is as it was without that batch.
    pub fn holds_readers_back(&self) -> bool {
        let is_whole = self.status == NodeStatus::PartialSuccess
            && self.node.materialization == ods::MATERIALIZATION;
        self.status.is_failure() && !is_whole
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
    /// The ephemeral models inside the compiled SQL: each one and its common table expression.
    pub inlined: Vec<(UniqueId, String)>,
    /// When compiling started and ended.
    pub compile: Option<(SystemTime, SystemTime)>,
    /// When running started and ended.
    pub execute: Option<(SystemTime, SystemTime)>,
    /// The thread's name, such as `Thread-1`.
    pub thread: String,
    /// From start to end.
    pub elapsed: Duration,
    /// How the batches ended, of a microbatch model.
    pub batch_results: Option<BatchResults>,
    /// Partitions that must wait, and for what, in words.
    pub waiting: Vec<String>,
    /// What it would read and is not there yet, in words, where it was skipped for that.
    pub lacks: Option<String>,
}
