//! I2: what was answered with a 2xx is a row, in a state that has a name.

use std::collections::BTreeMap;

use crate::support::{Reply, Sandbox};

/// The jobs that clients were told of, by id, with their model.
#[derive(Debug, Default)]
pub(crate) struct Ledger(BTreeMap<String, String>);

impl Ledger {
    /// Notes an answer to `start`; only a whole 2xx with a job is a promise.
    pub(crate) fn note(&mut self, model: &str, reply: &Reply) {
        if !reply.whole || !(200..300).contains(&reply.status) {
            return;
        }
        if let Some(job) = reply.json()["job_id"].as_str() {
            self.0.insert(job.to_owned(), model.to_owned());
        }
    }

    /// How many jobs were promised.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks that every promised job is there, and that no model has two active ones.
    #[track_caller]
    pub(crate) fn check(&self, sandbox: &Sandbox) {
        let rows = sandbox.db().rows(
            "SELECT j.job_id, j.state, m.model_id FROM jobs j JOIN models m USING (model_key)",
        );
        let known: BTreeMap<_, _> = rows
            .iter()
            .map(|row| (row["job_id"].as_str().unwrap(), row))
            .collect();
        for (job, model) in &self.0 {
            let row = known
                .get(job.as_str())
                .unwrap_or_else(|| panic!("I2: job {job} of {model} was accepted and is gone"));
            assert_eq!(row["model_id"], model.as_str(), "I2: {row}");
        }
        let twice = sandbox.db().value(
            "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state IN ('queued', 'running')
             GROUP BY model_key HAVING count(*) > 1)",
        );
        assert_eq!(twice, 0, "I2: a model has two active jobs");
    }
}
