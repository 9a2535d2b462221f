//! The texts of the policies that the routes of one tunnel name: kept beside the routes, and no longer than those.

use std::sync::Arc;

use bytes::Bytes;
use messages::PolicyId;

/// Some policies with their texts, each once. A clone shares them; none own no memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Documents(Option<Arc<[(PolicyId, Bytes)]>>);

impl Documents {
    /// The text of a policy; [`PolicyId::NONE`] has an empty one.
    pub(crate) fn get(&self, policy: PolicyId) -> Option<Bytes> {
        if policy.is_none() {
            return Some(Bytes::new());
        }
        let mut all = self.all().iter();
        let found = all.find(|(known, _)| *known == policy);
        found.map(|(_, document)| document.clone())
    }

    /// How many bytes the texts have.
    pub(crate) fn len(&self) -> usize {
        self.all().iter().map(|(_, document)| document.len()).sum()
    }

    fn all(&self) -> &[(PolicyId, Bytes)] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl FromIterator<(PolicyId, Bytes)> for Documents {
    fn from_iter<I: IntoIterator<Item = (PolicyId, Bytes)>>(documents: I) -> Self {
        let mut all: Vec<(PolicyId, Bytes)> = Vec::new();
        for (policy, document) in documents {
            if !policy.is_none() && all.iter().all(|(known, _)| *known != policy) {
                all.push((policy, document));
            }
        }
        Self((!all.is_empty()).then(|| all.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_is_kept_once_and_none_needs_no_text() {
        let policy = PolicyId([1; 32]);
        let text = Bytes::from_static(b"{}");
        let documents: Documents = [
            (policy, text.clone()),
            (PolicyId::NONE, Bytes::new()),
            (policy, text.clone()),
        ]
        .into_iter()
        .collect();
        assert_eq!(documents.all().len(), 1);
        assert_eq!(documents.len(), text.len());
        assert_eq!(documents.get(policy), Some(text));
        assert_eq!(documents.get(PolicyId([2; 32])), None);
        assert_eq!(Documents::default().get(PolicyId::NONE), Some(Bytes::new()));
    }
}
