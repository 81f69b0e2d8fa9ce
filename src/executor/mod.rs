//! The run: nodes in order, on several sessions at once.
//!
//! One thread owns the run's state ([`run`]); workers, each with a session of its own, render and
//! materialize one node at a time ([`node`]) and send what came out back. What happens is told as
//! [`event::Event`]s over one channel; nothing here writes to a terminal.

pub mod adopt;
mod cache;
mod comment;
pub mod compile;
mod crew;
pub mod engine;
pub mod event;
mod expire;
pub mod export;
pub mod fingerprint;
pub mod heartbeat;
pub mod hooks;
pub mod inbox;
pub mod lease;
pub mod locate;
pub mod look;
mod microbatch;
pub mod node;
mod preview;
pub mod publish;
pub mod reads;
pub mod recall;
mod resolver;
pub mod run;
pub mod schemas;
mod seed;
pub mod session;
mod slots;
pub mod stage;
pub mod why;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use crate::jinja::context::ProjectFacts;
use crate::jinja::language::Engine;
use crate::landing::Readers;
use crate::manifest::{Manifest, Node, UniqueId, json};

pub use cache::RelationCache;
pub use resolver::NodeResolver;

/// A parsed project, ready to run.
pub struct Project {
    /// What it consists of.
    pub manifest: Manifest,
    /// Its macros.
    pub engine: Arc<Engine>,
    /// What all its templates share.
    pub facts: Arc<ProjectFacts>,
    /// The comment that statements carry.
    pub query_comment: QueryComment,
    /// The folder of `dbt_project.yml`.
    pub root: PathBuf,
    /// The target folder.
    pub target_path: PathBuf,
    /// What reads files where the database cannot.
    pub readers: Readers,
    graph_json: OnceLock<serde_json::Value>,
    ephemerals: Mutex<HashMap<UniqueId, Arc<str>>>,
}

/// `query-comment` of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryComment {
    /// None.
    Off,
    /// A text, a template or the default, before or after each statement.
    On {
        /// The template; `None` for the default.
        template: Option<String>,
        /// Whether it stands behind the statement.
        append: bool,
    },
}

impl Project {
    /// Puts a project together.
    pub fn new(
        manifest: Manifest,
        engine: Arc<Engine>,
        facts: Arc<ProjectFacts>,
        query_comment: QueryComment,
        root: PathBuf,
        target_path: PathBuf,
    ) -> Project {
        Project {
            manifest,
            engine,
            facts,
            query_comment,
            root,
            target_path,
            readers: Readers::default(),
            graph_json: OnceLock::new(),
            ephemerals: Mutex::default(),
        }
    }

    /// What Jinja's `model` shows of a node.
    pub fn node_json(&self, node: &Node) -> serde_json::Value {
        json::node_shape(node, self.facts.dialect)
    }

    /// What Jinja's `graph` shows; made at first use.
    pub fn graph_json(&self) -> &serde_json::Value {
        self.graph_json
            .get_or_init(|| json::graph_json(&self.manifest, self.facts.dialect))
    }
}
