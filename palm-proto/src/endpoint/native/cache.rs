//! Requests to the cache.

use core::time::Duration;

use crate::buffer::Span;
use crate::cache::{DeleteRefused, SetRefused};
use crate::native::{CacheRefusalCode, Frame, ToMaster, ToPeer};
use crate::time::Instant;

use super::super::machine::Endpoint;
use super::super::part::Part;
use super::super::storage::EndpointStorage;
use super::NativeStorage;
use super::input::Heard;
use super::peer::Reply;

type ValueOf<S> = <<S as EndpointStorage>::Native as NativeStorage>::Value;

impl<S: EndpointStorage> Endpoint<S> {
    /// One request at a time: its answer leaves before the next is looked at.
    pub(super) fn on_cache_frame(
        &mut self,
        now: Instant,
        index: u32,
        native: u32,
        frame: &Frame<'_, ToMaster>,
    ) -> Heard {
        if self.native.peers[native].reply.is_some() {
            return Heard::Blocked;
        }
        self.counters.cache_requests += 1;
        let (header, body) = match frame.header {
            ToMaster::Get { id } => match self.cache.get_at(now, frame.body) {
                Some((value, version)) => {
                    (ToPeer::Value { id, version }, ValueOf::<S>::some(Span::whole(value.clone())))
                }
                None => (ToPeer::Absent { id }, None),
            },
            ToMaster::Set { id, ttl_ms, when, .. } => {
                let lifetime = ttl_ms.map(|millis| Duration::from_millis(millis.into()));
                let header = match self.cache.set_when(now, frame.front, frame.body, lifetime, when) {
                    Ok(version) => ToPeer::Stored { id, version },
                    Err(SetRefused::Absent) => ToPeer::Absent { id },
                    Err(SetRefused::Conflict(version)) => ToPeer::Conflict { id, version },
                    Err(SetRefused::Preset) => ToPeer::CacheRefused { id, code: CacheRefusalCode::Preset },
                    Err(SetRefused::Full) => ToPeer::CacheRefused { id, code: CacheRefusalCode::Full },
                    Err(SetRefused::TooLarge) => ToPeer::CacheRefused { id, code: CacheRefusalCode::TooLarge },
                };
                (header, None)
            }
            ToMaster::Delete { id, when } => {
                let header = match self.cache.delete_when(now, frame.body, when) {
                    Ok(()) => ToPeer::Deleted { id },
                    Err(DeleteRefused::Absent) => ToPeer::Absent { id },
                    Err(DeleteRefused::Conflict(version)) => ToPeer::Conflict { id, version },
                    Err(DeleteRefused::Preset) => ToPeer::CacheRefused { id, code: CacheRefusalCode::Preset },
                };
                (header, None)
            }
            _ => return Heard::Taken,
        };
        self.master.reserve(None, body.as_ref().map_or(0, |value| value.part().len()));
        self.native.peers[native].reply = Some(Reply { header, body });
        self.mark_ready(index);
        Heard::Taken
    }
}
