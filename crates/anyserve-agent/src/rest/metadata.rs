//! What headers say of a request, to those who know it as metadata.

use anyserve_proto::rest::HEADER_LENGTH;
use http::{HeaderMap, HeaderName, header};
use tonic::metadata::MetadataMap;

/// Headers as the metadata of a gRPC call, without what only HTTP has.
pub(super) fn to_metadata(mut headers: HeaderMap) -> MetadataMap {
    const OWN: [HeaderName; 8] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::EXPECT,
        header::HOST,
        header::TRANSFER_ENCODING,
        HeaderName::from_static(HEADER_LENGTH),
    ];
    for name in OWN {
        headers.remove(name);
    }
    MetadataMap::from_headers(headers)
}
