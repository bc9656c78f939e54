# Runs the Python worker if there is an interpreter with pylm, else one of ours in its place.
python=${PYTHON:-python3}
if "$python" -c 'import pylm.servers' 2>/dev/null; then
    exec "$python" -u worker.py "$@"
fi
echo "$python has no pylm: taking a worker of palm's"
exec palm worker --demo "$@"
