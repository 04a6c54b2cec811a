# docker build -t continual-atari . && docker run -v "$PWD/runs:/app/runs" continual-atari
# Stop it as any run (docker stop --time 120, Ctrl-C); the same command goes on with it. Another run:
# docker run -v "$PWD/runs:/app/runs" continual-atari .venv/bin/python train.py --config toy
FROM python:3.11-slim
RUN apt-get update && apt-get install --yes --no-install-recommends g++ git make && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY pyproject.toml constraints.txt Makefile ./
RUN make setup
COPY . .
STOPSIGNAL SIGTERM
CMD ["make", "train"]
