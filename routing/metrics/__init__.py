"""What /metrics tells, in Prometheus' text format. Nothing here touches the database.

    families   the list of all metrics: name, kind, labels, and what several workers' values come to
    gauges     what holds now, read from a worker's memory when somebody asks
    sharing    several workers, one page: each leaves its samples in a file once a second
    page       samples -> text

What happened is counted in `routing/counts.py`. The gunicorn master imports `sharing`: no Django there.
"""
