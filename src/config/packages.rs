//! `packages.yml` and `dependencies.yml`: which packages a project declares.
