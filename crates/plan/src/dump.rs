//! A stable text form of plans, for tests and for people.

use crate::graph::Plan;

/// The plan as text: the same plan always gives the same lines.
pub fn dump(plan: &Plan) -> String {
    format!("platform {}\n", plan.platform)
}
