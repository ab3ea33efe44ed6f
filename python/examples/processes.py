"""Many processes, one page: four ranks count steps, and the first process serves the page of all."""

import argparse
import multiprocessing

from dynamo_metrics.prometheus import CollectorRegistry, Counter, Gauge, start_http_server
from dynamo_metrics.prometheus.multiprocess import MultiProcessCollector, share

share("shm")  # or a directory, or PROMETHEUS_MULTIPROC_DIR in the environment
STEPS = Counter("steps", "Steps of all ranks.", ["rank"])
RUNNING = Gauge("running_ranks", "Ranks that run.", multiprocess_mode="livesum")


def rank(number: int, steps: int) -> None:
    RUNNING.set(1)
    counter = STEPS.labels(str(number))
    for _ in range(steps):
        counter.inc()


def main(method: str, port: int) -> None:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    server, thread = start_http_server(port, "127.0.0.1", registry)
    print(f"metrics http://127.0.0.1:{server.server_port}", flush=True)
    multiprocessing.set_start_method(method)
    ranks = [multiprocessing.Process(target=rank, args=(number, 10_000)) for number in range(4)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    thread.join()  # until a signal ends the program


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", nargs="?", default="spawn", choices=multiprocessing.get_all_start_methods())
    parser.add_argument("port", nargs="?", type=int, default=8000, help="port of the page, 0 for a free one")
    arguments = parser.parse_args()
    main(arguments.method, arguments.port)
