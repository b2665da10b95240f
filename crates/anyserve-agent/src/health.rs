//! `grpc.health.v1`: whether the agent serves.

use anyserve_proto::inference::grpc_inference_service_server::SERVICE_NAME;
use tokio::sync::Mutex;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};

use crate::dispatch::Dispatcher;

/// The agent as a whole, and the one service that it has.
const SERVICES: [&str; 2] = ["", SERVICE_NAME];

/// Tells those who ask or watch.
#[derive(Debug)]
pub(crate) struct Health {
    reporter: HealthReporter,
    /// What was told last: a watcher hears of changes, not twice the same.
    told: Mutex<Option<bool>>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self { reporter: HealthReporter::new(), told: Mutex::default() }
    }

    pub(crate) fn service(&self) -> HealthService {
        HealthService::from_health_reporter(self.reporter.clone())
    }

    /// Keeps it true to whether requests are served, for as long as it is polled.
    pub(crate) async fn follow(&self, dispatcher: &Dispatcher) {
        let mut readiness = dispatcher.readiness();
        loop {
            readiness.mark_unchanged();
            self.tell(dispatcher).await;
            if readiness.changed().await.is_err() {
                return;
            }
        }
    }

    /// Tells how it is now.
    pub(crate) async fn tell(&self, dispatcher: &Dispatcher) {
        let mut told = self.told.lock().await;
        let serving = *dispatcher.readiness().borrow() > 0;
        if told.replace(serving) == Some(serving) {
            return;
        }
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in SERVICES {
            self.reporter.set_service_status(service, status).await;
        }
    }

    /// Tells those who watch that the agent stops, and ends their streams.
    pub(crate) async fn close(self) {
        let mut reporter = self.reporter;
        for service in SERVICES {
            reporter.set_service_status(service, ServingStatus::NotServing).await;
            reporter.clear_service_status(service).await;
        }
    }
}
