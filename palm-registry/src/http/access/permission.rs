//! Who may do what, on which cluster: the only place that says so.

use crate::store::{Scope, Share};

/// What somebody may do at most, whatever it is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The user is an admin.
    pub is_admin: bool,
    /// Of a session, [`Scope::Admin`].
    pub scope: Scope,
}

/// What a cluster is to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Its own.
    Own,
    /// Shared with it.
    Shared(Share),
    /// Another's.
    Other,
}

/// What is done to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See its file, its state and its logs.
    See,
    /// Start, stop, restart and scale what it runs, remove a node, place everything anew.
    Operate,
    /// Set its file, which is to say what its nodes run; its name, its shares, its key; delete it.
    Manage,
    /// Be one of its nodes.
    Run,
}

/// What is done to no cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum General {
    /// Be told who one is.
    Look,
    /// Make a cluster.
    AddCluster,
    /// Make and revoke one's own tokens, and set one's password.
    Account,
    /// Users, everybody's tokens, the audit log.
    Administer,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Allowed,
    /// It is not done, and that is said.
    Forbidden,
    /// As if there were no such cluster.
    Hidden,
}

/// Whether something may be done to a cluster.
#[must_use]
pub fn on_cluster(standing: Standing, relation: Relation, action: Action) -> Verdict {
    // An admin owns everything, but not with a token that says otherwise.
    let relation = if general(standing, General::Administer) { Relation::Own } else { relation };
    if relation == Relation::Other {
        return Verdict::Hidden;
    }
    let by_relation = match relation {
        Relation::Own => true,
        Relation::Shared(Share::Operate) => matches!(action, Action::See | Action::Operate | Action::Run),
        Relation::Shared(Share::Read) => action == Action::See,
        Relation::Other => false,
    };
    let by_scope = match standing.scope {
        Scope::Admin | Scope::Owner => true,
        Scope::Runner => action == Action::Run,
        Scope::Read => action == Action::See,
    };
    match (by_relation && by_scope, standing.scope) {
        (true, _) => Verdict::Allowed,
        // A node has no business with what it does not run.
        (false, Scope::Runner) => Verdict::Hidden,
        (false, _) => Verdict::Forbidden,
    }
}

/// Whether something may be done that is about no cluster.
#[must_use]
pub fn general(standing: Standing, action: General) -> bool {
    match action {
        General::Look => true,
        General::AddCluster => matches!(standing.scope, Scope::Admin | Scope::Owner),
        General::Account => standing.scope == Scope::Admin,
        General::Administer => standing.is_admin && standing.scope == Scope::Admin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELATIONS: [Relation; 4] =
        [Relation::Own, Relation::Shared(Share::Operate), Relation::Shared(Share::Read), Relation::Other];

    /// Per relation, in the order of `RELATIONS`: `s`ee, `o`perate, `m`anage, `r`un; `-`: forbidden; `.`: hidden.
    fn row(is_admin: bool, scope: Scope) -> String {
        let actions = [('s', Action::See), ('o', Action::Operate), ('m', Action::Manage), ('r', Action::Run)];
        let relations = RELATIONS.map(|relation| {
            let verdicts =
                actions.map(|(letter, action)| match on_cluster(Standing { is_admin, scope }, relation, action) {
                    Verdict::Allowed => letter,
                    Verdict::Forbidden => '-',
                    Verdict::Hidden => '.',
                });
            String::from_iter(verdicts)
        });
        relations.join(" ")
    }

    #[test]
    fn the_whole_table_for_clusters() {
        assert_eq!(row(true, Scope::Admin), "somr somr somr somr");
        assert_eq!(row(false, Scope::Admin), "somr so-r s--- ....");
        for is_admin in [true, false] {
            assert_eq!(row(is_admin, Scope::Owner), "somr so-r s--- ....");
            assert_eq!(row(is_admin, Scope::Read), "s--- s--- s--- ....");
            assert_eq!(row(is_admin, Scope::Runner), "...r ...r .... ....");
        }
    }

    #[test]
    fn the_whole_table_for_the_rest() {
        let actions = [General::Look, General::AddCluster, General::Account, General::Administer];
        let allowed = |is_admin, scope| actions.map(|action| u8::from(general(Standing { is_admin, scope }, action)));
        assert_eq!(allowed(true, Scope::Admin), [1, 1, 1, 1]);
        assert_eq!(allowed(false, Scope::Admin), [1, 1, 1, 0]);
        for is_admin in [true, false] {
            assert_eq!(allowed(is_admin, Scope::Owner), [1, 1, 0, 0]);
            assert_eq!(allowed(is_admin, Scope::Runner), [1, 0, 0, 0]);
            assert_eq!(allowed(is_admin, Scope::Read), [1, 0, 0, 0]);
        }
    }
}
