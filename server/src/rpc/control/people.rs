//! Whom the identity provider's accounts stand for here.

use stopover_model::id::OperatorName;
use stopover_proto::convert::field::{name, timestamp};
use stopover_proto::v1;

use super::Api;
use crate::rpc::auth::Operator;
use crate::rpc::status::RpcError;
use crate::store::PersonRow;

impl Api {
    pub(super) async fn people(&self) -> Result<v1::ListPeopleResponse, RpcError> {
        let people = self.services.store.people().await?;
        Ok(v1::ListPeopleResponse { people: people.into_iter().map(wire).collect() })
    }

    pub(super) async fn forget(
        &self,
        by: &Operator,
        request: v1::ForgetPersonRequest,
    ) -> Result<v1::ForgetPersonResponse, RpcError> {
        let person: OperatorName = name::read(request.name, "name")?;
        let forgotten = self.services.store.forget_person(&person).await?;
        if forgotten.is_empty() {
            return Err(RpcError::NoSuchPerson(person));
        }
        tracing::info!(%person, by = %by.name, "whoever comes with this name next has it");
        Ok(v1::ForgetPersonResponse { forgotten: forgotten.into_iter().map(wire).collect() })
    }
}

fn wire(row: PersonRow) -> v1::Person {
    v1::Person {
        name: name::write(row.name),
        issuer: row.account.issuer,
        subject: row.account.subject,
        since: timestamp::write(row.since),
    }
}
