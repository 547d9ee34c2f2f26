//! `millstream bench` on servers that others use: it measures, and leaves nothing behind.

use millstream::queue::Wire;

use crate::support::{Home, World, private};

#[tokio::test]
async fn a_measurement_tells_every_cell_and_leaves_nothing_behind() {
    let servers = private::valkey().await;
    let world = World::on_valkey(&servers.valkey_url, Wire::REVIEW).await;
    let home = Home::beside(&world);
    let args = [
        "bench",
        "--rounds",
        "1",
        "--jobs",
        "1000",
        "--concurrency",
        "3,8",
        "--json",
    ];
    let ran = home.run(&args).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = ran.json();
    let results = report["results"].as_array().expect("cells");
    let cells: Vec<String> = results
        .iter()
        .map(|cell| format!("{} {}", cell["mode"], cell["concurrency"]))
        .collect();
    assert_eq!(
        cells,
        ["\"queue\" 3", "\"queue\" 8", "\"ledger\" 3", "\"ledger\" 8"]
    );
    for name in [
        "engine_jobs_per_s",
        "ratio",
        "server_cpu_us_per_job",
        "round_trips_per_job",
    ] {
        let told = results
            .iter()
            .all(|cell| cell[name].as_f64().is_some_and(|figure| figure > 0.0));
        assert!(told, "{name}: {report}");
    }
    for figure in [&report["raw_jobs_per_s"], &report["enqueue"]["ledger_ratio"]] {
        assert!(figure.as_f64().is_some_and(|figure| figure > 0.0), "{report}");
    }
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*bench:*")
        .query_async(&mut world.valkey.clone())
        .await
        .expect("valkey is there");
    assert_eq!(keys, [""; 0]);
    let (jobs, leases): (i64, i64) = sqlx::query_as(
        "select (select count(*) from millstream.jobs), (select count(*) from millstream.leases)",
    )
    .fetch_one(&world.sql)
    .await
    .expect("postgres is there");
    assert_eq!((jobs, leases), (0, 0));
    servers.stop().await;
}
